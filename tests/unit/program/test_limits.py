"""Small files that ask for much: refused at once, in one line, by the engine and the interpreter alike."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

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
from bitvit.runtime import Engine

POINTS = {"weight": "w", "scale": "s", "bias": "b"}


def start(side: int) -> tuple[dict[str, Value], list[Op], dict[str, AnyArray]]:
    """A value `x` of one channel for each pixel of a square image."""
    values = {"image": Value("u8", (side, side, 3)), "x": Value("f32", (side * side, 1))}
    tensors: dict[str, AnyArray] = {
        "w": np.ones((1, 1, 1, 3), np.int8),
        "s": np.ones((1, 3), np.float32),
        "b": np.zeros(1, np.float32),
    }
    return values, [Op("patch_conv_u8", ("image",), ("x",), {"patch": 1}, POINTS)], tensors


def finished(side: int, values: dict[str, Value], ops: list[Op], tensors: dict[str, AnyArray], last: str) -> BitvitFile:
    """The mean of `last` is the only logit."""
    values["o"] = Value("f32", (1, 1))
    ops.append(Op("mean_rows", (last,), ("o",)))
    return BitvitFile(Program(values, ops, "image", "o"), tensors, Preprocessing((side, side), side), ["a"])


def large_values(side: int = 4096) -> BitvitFile:
    """x and 15 sums of x with itself, all needed at the end."""
    values, ops, tensors = start(side)
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
    values, ops, tensors = start(2048)
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
    """A tensor that every use lays out anew."""
    values, ops, tensors = start(1)
    values["xk"] = Value("f32", (1, width))
    ops.append(Op("repeat_channels", ("x",), ("xk",), {"times": width}))
    tensors["W"] = np.ones((1, width), np.float32)
    for i in range(n):
        values[f"y{i}"] = Value("f32", (1, 1))
        ops.append(Op("linear_f32", ("xk",), (f"y{i}",), {}, {"weight": "W", "bias": "b"}))
    return finished(1, values, ops, tensors, f"y{n - 1}")


GREEDY: dict[str, Callable[[], BitvitFile]] = {
    "values": large_values,
    "bits in short rows": thin_masks,
    "shared parameters": one_tensor_often,
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
    for file in (large_values(64), one_tensor_often(5, 64)):
        read_bytes(to_bytes(file))


def test_too_many_operators() -> None:
    values, ops, tensors = start(4)
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
