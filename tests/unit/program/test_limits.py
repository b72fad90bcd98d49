"""Small files that ask for much: refused at once, in one line, by the engine and the interpreter alike."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitvit.program import (
    BitvitFile,
    Interpreter,
    Op,
    Preprocessing,
    Program,
    SizeLimitError,
    Value,
    read_bytes,
    to_bytes,
)
from bitvit.program.schema import AnyArray
from bitvit.runtime import Engine, available_isas
from tests.support.malformed_files import point_network, shared_weights_network


def finished(side: int, values: dict[str, Value], ops: list[Op], tensors: dict[str, AnyArray], last: str) -> BitvitFile:
    """The mean of `last` is the only logit."""
    values["o"] = Value("f32", (1, 1))
    ops.append(Op("mean_rows", (last,), ("o",)))
    return BitvitFile(Program(values, ops, "image", "o"), tensors, Preprocessing((side, side), side), ["a"])


def large_values(side: int = 4096) -> BitvitFile:
    """x and 15 sums of x with itself, all needed at the end."""
    values, ops, tensors = point_network(side)
    sums = [f"y{i}" for i in range(15)]
    for name in sums:
        values[name] = Value("f32", (side * side, 1))
        ops.append(Op("add", ("x", "x"), (name,)))
    total = "x"
    for i, name in enumerate(sums):
        values[f"t{i}"] = Value("f32", (side * side, 1))
        ops.append(Op("add", (total, name), (f"t{i}",)))
        total = f"t{i}"
    return finished(side, values, ops, tensors, total)


def thin_masks() -> BitvitFile:
    """Bits in rows of one: 64 times the memory of bits in rows of 64."""
    values, ops, tensors = point_network(2048)
    tensors["threshold"] = np.zeros(1, np.float32)
    for i in range(16):
        values[f"m{i}"] = Value("sign", (2048 * 2048, 1))
        ops.append(Op("sign", ("x",), (f"m{i}",), {}, {"threshold": "threshold"}))
        values[f"y{i}"] = Value("f32", (2048 * 2048, 1))
    tensors["bits"] = np.zeros((1, 1), np.uint8)
    for i in range(16):
        weights = {"weight": "bits", "scale": "b", "bias": "b"}
        ops.append(Op("binary_linear", (f"m{i}",), (f"y{i}",), {}, weights))
    return finished(2048, values, ops, tensors, "y15")


def one_tensor_often(n: int = 300, width: int = 1 << 16) -> BitvitFile:
    """A tensor that operators of one kind share: 16 MiB as the kernels want it."""
    return finished(1, *shared_weights_network(n, width), f"y{n - 1}")


def one_tensor_in_many_ways(n: int = 300) -> BitvitFile:
    """A tensor of grouped convolutions: each dilation is a use of its own."""
    values, ops, tensors = point_network(2)
    values["xk"] = Value("f32", (4, 1 << 12))
    values["s"] = Value("sign", (4, 1 << 12))
    tensors["threshold"] = tensors["zeros"] = np.zeros(1 << 12, np.float32)
    tensors["W"] = np.ones((1 << 12, 7 * 7, 1), np.uint8)
    ops.append(Op("repeat_channels", ("x",), ("xk",), {"times": 1 << 12}))
    ops.append(Op("sign", ("xk",), ("s",), {}, {"threshold": "threshold"}))
    weights = {"weight": "W", "scale": "zeros", "bias": "zeros"}
    for i in range(n):
        attributes = {"grid": [2, 2], "kernel": 7, "dilation": i % 63 + 1, "groups": 1 << 12}
        values[f"y{i}"] = Value("f32", (4, 1 << 12))
        ops.append(Op("binary_conv", ("s",), (f"y{i}",), attributes, weights))
    values["mean"] = Value("f32", (4, 1))
    ops.append(Op("mean_channels", (f"y{n - 1}",), ("mean",), {"group": 1 << 12}))
    return finished(2, values, ops, tensors, "mean")


def repeated_parameters(n: int = 16_000) -> BitvitFile:
    """Parameters of four numbers, which kernels want for each column of a wide image."""
    values = {"image": Value("u8", (1, 4096, 4)), "logits": Value("f32", (1, 4))}
    ops = []
    for i in range(n):
        values[f"y{i}"] = Value("f32", (1, 4096, 4))
        ops.append(Op("image_to_float", ("image",), (f"y{i}",), {}, {"mul": "m", "add": "m"}))
    values["x"] = Value("f32", (1, 4))
    tensors: dict[str, AnyArray] = {"m": np.ones(4, np.float32), "W": np.ones((4, 1, 1, 4), np.float32)}
    values["rows"] = Value("f32", (4096, 4))
    ops.append(Op("patch_conv_f32", (f"y{n - 1}",), ("rows",), {"patch": 1}, {"weight": "W", "bias": "m"}))
    ops.append(Op("mean_rows", ("rows",), ("logits",)))
    del values["x"]
    prepared = Preprocessing((1, 4096), 4096, mean=(0.5,) * 4, std=(0.5,) * 4, channels=4)
    return BitvitFile(Program(values, ops, "image", "logits"), tensors, prepared, list("abcd"))


def pools(side: int = 1024, kernel: int = 63, n: int = 1, kind: str = "average") -> BitvitFile:
    """Windows of many cells at every cell: much work for a few hundred bytes."""
    values, ops, tensors = point_network(side)
    attributes = {"grid": [side, side], "kind": kind, "kernel": kernel, "stride": 1, "padding": kernel // 2}
    for i in range(n):
        values[f"y{i}"] = Value("f32", (side * side, 1))
        ops.append(Op("pool", (f"y{i - 1}" if i else "x",), (f"y{i}",), attributes))
    return finished(side, values, ops, tensors, f"y{n - 1}")


def wide_stencils(n: int = 200, width: int = 1 << 21) -> BitvitFile:
    """Operators that need a row of zeros as wide as theirs."""
    values, ops, tensors = point_network(1)
    values["y0"] = Value("f32", (1, width))
    ops.append(Op("repeat_channels", ("x",), ("y0",), {"times": width}))
    attributes = {"grid": [1, 1], "groups": [[[1, 0]]], "wrap": False, "divisor": 1}
    for i in range(n):
        values[f"y{i + 1}"] = Value("f32", (1, width))
        ops.append(Op("stencil", (f"y{i}",), (f"y{i + 1}",), attributes))
    values["mean"] = Value("f32", (1, 1))
    ops.append(Op("mean_channels", (f"y{n}",), ("mean",), {"group": width}))
    return finished(1, values, ops, tensors, "mean")


def wide_heads(width: int = 1 << 21, planes: int = 8) -> BitvitFile:
    """Attention of few numbers whose kernels need much memory for sums."""
    values, ops, tensors = point_network(1)
    tensors |= {"t": np.zeros(1, np.float32), "e": np.ones(2, np.float32)}
    tensors |= {"r": np.ones((planes, 1), np.float32), "c": np.ones(planes, np.float32)}
    values["q"] = Value("sign", (1, 1, 1))
    values["masks"] = Value("mask", (planes, 1, 1, 1))
    values["xk"] = values["y"] = Value("f32", (1, width))
    values["planes"] = Value("ternary", (planes, 1, width, 1))
    values["mean"] = Value("f32", (1, 1))
    ops += [
        Op("sign", ("x",), ("q",), {}, {"threshold": "t"}),
        Op("attention_masks", ("q", "q"), ("masks",), {"planes": [["ones"]] * planes}, {"table": "e"}),
        Op("repeat_channels", ("x",), ("xk",), {"times": width}),
        Op("value_planes", ("xk",), ("planes",), {"factors": [0.5] * (planes - 1)}),
        Op("value_product", ("masks", "planes"), ("y",), {}, {"row_scale": "r", "column_scale": "c"}),
        Op("mean_channels", ("y",), ("mean",), {"group": width}),
    ]
    return finished(1, values, ops, tensors, "mean")


def many_keys() -> BitvitFile:
    """A row of attention as long as an image is large."""
    values, ops, tensors = point_network(2048)
    side = 2048 * 2048
    tensors |= {"t": np.zeros(1, np.float32), "e": np.ones(2, np.float32), "one": np.ones((1, 1), np.float32)}
    tensors["r"] = np.ones(1, np.float32)
    values["k"] = Value("sign", (side, 1, 1))
    values["q"] = Value("sign", (1, 1, 1))
    values["masks"] = Value("mask", (1, 1, 1, side))
    values["planes"] = Value("ternary", (1, 1, 1, side))
    values["y"] = Value("f32", (1, 1))
    ops += [
        Op("sign", ("x",), ("k",), {}, {"threshold": "t"}),
        Op("slice_rows", ("k",), ("q",), {"start": 0, "stop": 1}),
        Op("attention_masks", ("q", "k"), ("masks",), {"planes": [["ones"]]}, {"table": "e"}),
        Op("value_planes", ("x",), ("planes",), {"factors": []}),
        Op("value_product", ("masks", "planes"), ("y",), {}, {"row_scale": "one", "column_scale": "r"}),
    ]
    return finished(2048, values, ops, tensors, "y")


def many_scores(side: int = 128) -> BitvitFile:
    """Mask bits of all pairs of rows, whose statistics need the 32 times as large numbers behind them."""
    values, ops, tensors = point_network(side)
    rows = side * side
    tensors |= {"t": np.zeros(1, np.float32), "e": np.ones(2, np.float32), "one": np.ones((1, 1), np.float32)}
    tensors["r"] = np.ones(1, np.float32)
    values["q"] = Value("sign", (rows, 1, 1))
    values["masks"] = Value("mask", (1, 1, rows, rows))
    values["gamma"] = values["mean"] = Value("f32", (1,))
    values["planes"] = Value("ternary", (1, 1, 1, rows))
    values["y"] = Value("f32", (rows, 1))
    ops += [
        Op("sign", ("x",), ("q",), {}, {"threshold": "t"}),
        Op("attention_masks_statistics", ("q", "q"), ("masks", "gamma"), {"phase": 2, "patches": 1}, {"table": "e"}),
        Op("value_planes", ("x",), ("planes",), {"factors": []}),
        Op("value_product", ("masks", "planes"), ("y",), {}, {"row_scale": "one", "column_scale": "r"}),
    ]
    del values["mean"]
    return finished(side, values, ops, tensors, "y")


GREEDY: dict[str, Callable[[], BitvitFile]] = {
    "values": large_values,
    "bits in short rows": thin_masks,
    "a tensor in many ways": one_tensor_in_many_ways,
    "repeated parameters": repeated_parameters,
    "one pool": pools,
    "one pool, maximum": lambda: pools(kind="max"),
    "small windows of a large grid": lambda: pools(2048, 17),
    "wide heads": wide_heads,
    "many keys": many_keys,
    "many scores": many_scores,
    "several pools": lambda: pools(256, 31, 20),
}


@pytest.mark.parametrize("what", sorted(GREEDY))
def test_greedy_programs_are_refused(what: str) -> None:
    file = GREEDY[what]()
    tracemalloc.start()
    for refuse in (
        lambda: to_bytes(file),
        lambda: Interpreter(file.program, file.tensors),
        lambda: Engine(file.program, file.tensors),
    ):
        with pytest.raises(SizeLimitError) as caught:
            refuse()
        assert "\n" not in str(caught.value)
        assert "Limits" in str(caught.value) or "bytes" in str(caught.value)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_modest_programs_of_the_same_kinds_are_accepted() -> None:
    modest = (large_values(64), one_tensor_often(5, 64), one_tensor_in_many_ways(2), repeated_parameters(2))
    for file in (*modest, pools(16, 5, 3), wide_stencils(2, 64), wide_heads(64, 3), many_scores(8)):
        read_bytes(to_bytes(file))


MEASURE = """
import resource, sys
from bitvit.program import open_model
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
engine = open_model(sys.argv[1]).engine(threads=2)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize(
    ("make", "most_mib"),
    [
        (one_tensor_often, 200),  # 300 x 16 MiB where each use has its own
        (lambda: one_tensor_often(4000, 1 << 12), 100),  # 4000 x 1 MiB
        (wide_stencils, 200),  # 200 x 8 MiB of zeros
    ],
)
def test_what_operators_share_is_laid_out_once(make: Callable[[], BitvitFile], most_mib: int, tmp_path: Path) -> None:
    path = tmp_path / "shared.bitvit"
    path.write_bytes(to_bytes(make()))
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < most_mib


def test_a_shared_tensor_gives_the_same_answer_in_every_layout() -> None:
    """One tensor as weights of two widths and two kinds, each also under another name."""
    rng = np.random.default_rng(0)
    results = []
    bits = rng.integers(0, 32, (8, 2), np.uint8)
    bits[:, 1] &= 31
    floats = rng.standard_normal((8, 1)).astype(np.float32)
    for name in ("same", "other"):
        values, ops, tensors = point_network(4)
        tensors |= {"t": np.zeros(16, np.float32), "o": np.ones(8, np.float32), "same": bits, "f": floats}
        tensors |= {"t13": np.zeros(13, np.float32), "r": floats}
        if name == "other":
            tensors |= {"other": bits.copy(), "g": floats.copy()}
        for width in (13, 16):
            weight = name if width == 16 else "same"
            threshold = "t13" if width == 13 else "t"
            values[f"wide{width}"] = Value("f32", (16, width))
            ops.append(Op("repeat_channels", ("x",), (f"wide{width}",), {"times": width}))
            values[f"bits{width}"] = Value("mask" if width == 13 else "sign", (16, width))
            kind = "mask" if width == 13 else "sign"
            ops.append(Op(kind, (f"wide{width}",), (f"bits{width}",), {}, {"threshold": threshold}))
            values[f"y{width}"] = Value("f32", (16, 8))
            parameters = {"weight": weight, "scale": "o", "bias": "o"}
            ops.append(Op("binary_linear", (f"bits{width}",), (f"y{width}",), {}, parameters))
        for number, weight in enumerate(("f", "g" if name == "other" else "f")):
            values[f"z{number}"] = Value("f32", (16, 8))
            ops.append(Op("linear_f32", ("x",), (f"z{number}",), {}, {"weight": weight, "bias": "o"}))
        values["sum0"] = values["sum1"] = values["sum2"] = Value("f32", (16, 8))
        ops.append(Op("add", ("y13", "y16"), ("sum0",)))
        ops.append(Op("add", ("z0", "z1"), ("sum1",)))
        ops.append(Op("add", ("sum0", "sum1"), ("sum2",)))
        values["o"] = Value("f32", (1, 8))
        ops.append(Op("mean_rows", ("sum2",), ("o",)))
        del tensors["r"]
        file = BitvitFile(Program(values, ops, "image", "o"), tensors, Preprocessing((4, 4), 4), list("abcdefgh"))
        images = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), np.uint8)
        expected = Interpreter(file.program, file.tensors).run(images)
        for isa in available_isas():
            np.testing.assert_array_equal(Engine(file.program, file.tensors, isa=isa).run(images), expected)
        results.append(expected)
    np.testing.assert_array_equal(*results)


def test_too_many_operators() -> None:
    values, ops, tensors = point_network(4)
    for i in range((1 << 14) + 1):
        values[f"y{i}"] = Value("f32", (16, 1))
        ops.append(Op("gelu", ("x",), (f"y{i}",)))
    with pytest.raises(SizeLimitError, match="operators"):
        to_bytes(finished(4, values, ops, tensors, "y0"))


def test_header_beyond_the_limit() -> None:
    size = (1 << 23) + 8
    with pytest.raises(SizeLimitError, match="header"):
        read_bytes(size.to_bytes(8, "little") + b"{" + b" " * size)


def test_header_of_many_small_objects() -> None:
    text = b'{"__metadata__":{"format":"bitvit"},"a":[' + b"[]," * 2_000_000 + b"[]]}"
    with pytest.raises(SizeLimitError, match="values"):
        read_bytes(len(text).to_bytes(8, "little") + text)


LARGEST = 1 << 30


@pytest.mark.parametrize("make", [lambda: wide_heads(1 << 17), lambda: wide_heads(1 << 20, 1), lambda: pools(512, 3)])
@pytest.mark.parametrize("threads", [1, 2, 64])
def test_workspaces_of_what_is_accepted_stay_below_the_limit(make: Callable[[], BitvitFile], threads: int) -> None:
    file = make()
    for isa in available_isas():
        engine = Engine(file.program, file.tensors, threads=threads, isa=isa)
        assert engine.workspace_bytes * engine._core.most_workspaces <= LARGEST
