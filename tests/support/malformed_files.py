"""Files that ask for too much or for something odd, each with the verdict that it deserves.

Each kind comes in several sizes. They are written here and not stored, so that they follow the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from bitvit.program import (
    BitvitFile,
    Op,
    PreprocessingError,
    ProgramError,
    SizeLimitError,
    Value,
    to_bytes,
)
from bitvit.program.schema import AnyArray
from tests.support.sealed_file import edited, edited_json, parts, sealed
from tests.support.tiny_file import tiny_file

POINT = {"weight": "w", "scale": "s", "bias": "b"}


def point_network(side: int) -> tuple[dict[str, Value], list[Op], dict[str, AnyArray]]:
    """One channel `x` for each pixel of a square image."""
    values = {"image": Value("u8", (side, side, 3)), "x": Value("f32", (side * side, 1))}
    tensors: dict[str, AnyArray] = {
        "w": np.ones((1, 1, 1, 3), np.int8),
        "s": np.ones((1, 3), np.float32),
        "b": np.zeros(1, np.float32),
    }
    return values, [Op("patch_conv_u8", ("image",), ("x",), {"patch": 1}, POINT)], tensors


def unchecked(side: int, values: dict[str, Value], ops: list[Op], tensors: dict[str, AnyArray], last: str) -> bytes:
    """The mean of `last` is the only logit; the writer does not look at it."""
    values["o"] = Value("f32", (1, 1))
    ops.append(Op("mean_rows", (last,), ("o",)))
    program = {
        "input": "image",
        "output": "o",
        "values": {name: {"type": value.type, "shape": list(value.shape)} for name, value in values.items()},
        "ops": [_written(op) for op in ops],
    }
    stored = parts(to_bytes(tiny_file()))[0]
    preprocessing = json.loads(stored["preprocessing"]) | {"image_size": [side, side], "resize_size": side}
    changes = {"program": json.dumps(program), "preprocessing": json.dumps(preprocessing), "labels": '["a"]'}
    return sealed(stored | changes, tensors)


def _written(op: Op) -> dict[str, object]:
    written: dict[str, object] = {"op": op.op, "in": list(op.inputs), "out": list(op.outputs)}
    if op.attrs:
        written["attrs"] = op.attrs
    if op.tensors:
        written["tensors"] = op.tensors
    return written


def with_tensor(entry: dict[str, object]) -> bytes:
    """The tiny file with another tensor in its header."""
    data = to_bytes(tiny_file())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size]) | {"more": entry}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def many_axes(n: int) -> bytes:
    """A tensor of one element and n axes."""
    return with_tensor({"dtype": "F32", "shape": [1] * n, "data_offsets": [0, 4]})


def large_value(*shape: int) -> bytes:
    """More elements than 32 bits count; the product may be zero there."""
    return edited_json("program", lambda program: program["values"]["x"].update(shape=list(shape)))


def large_tensor(*shape: int) -> bytes:
    """The same of a tensor; it has no bytes, which is right where the product is zero."""
    return with_tensor({"dtype": "U8", "shape": list(shape), "data_offsets": [0, 0]})


def large_windows(side: int, kernel: int, kind: str) -> bytes:
    """A pool whose windows cover much at every cell."""
    values, ops, tensors = point_network(side)
    attributes = {"grid": [side, side], "kind": kind, "kernel": kernel, "stride": 1, "padding": kernel // 2}
    values["y"] = Value("f32", (side * side, 1))
    ops.append(Op("pool", ("x",), ("y",), attributes))
    return unchecked(side, values, ops, tensors, "y")


def shared_weights(n: int, width: int) -> bytes:
    """One tensor that n operators use."""
    return unchecked(1, *shared_weights_network(n, width), f"y{n - 1}")


def shared_weights_network(n: int, width: int) -> tuple[dict[str, Value], list[Op], dict[str, AnyArray]]:
    """Results `y0`, `y1`, ... of n operators with one tensor."""
    values, ops, tensors = point_network(1)
    values["xk"] = Value("f32", (1, width))
    ops.append(Op("repeat_channels", ("x",), ("xk",), {"times": width}))
    tensors["W"] = np.ones((1, width), np.float32)
    for i in range(n):
        values[f"y{i}"] = Value("f32", (1, 1))
        ops.append(Op("linear_f32", ("xk",), (f"y{i}",), {}, {"weight": "W", "bias": "b"}))
    return values, ops, tensors


def many_values_at_once(n: int) -> bytes:
    """n values that wait for n operators: plans of memory and groups have much to compare."""
    values, ops, tensors = point_network(4)
    values |= {f"{name}{i}": Value("f32", (16, 1)) for name in "yz" for i in range(n)}
    ops += [Op("affine", ("x",), (f"y{i}",), {}, {"scale": "b", "bias": "b"}) for i in range(n)]
    attributes = {"grid": [4, 4], "groups": [[[0, 0]]], "wrap": True, "divisor": 1}
    ops += [Op("stencil", (f"y{i}",), (f"z{i}",), attributes) for i in range(n)]
    return unchecked(4, values, ops, tensors, "x")


def chain(n: int) -> bytes:
    """n operators, each of which reads the one before and the first."""
    values, ops, tensors = point_network(4)
    before = "x"
    for i in range(n):
        values[f"y{i}"] = Value("f32", (16, 1))
        ops.append(Op("add", (before, "x"), (f"y{i}",)))
        before = f"y{i}"
    return unchecked(4, values, ops, tensors, before)


def repetitions(n: int) -> bytes:
    """n repetitions of channels, each looked for from the sum that reads it."""
    values, ops, tensors = point_network(4)
    values["x16"] = Value("f32", (16, 16))
    ops.append(Op("repeat_channels", ("x",), ("x16",), {"times": 16}))
    before = "x16"
    for i in range(n // 2):
        widths = {"r": 32, "y": 32, "s": 32, "m": 16}
        values |= {f"{name}{i}": Value("f32", (16, width)) for name, width in widths.items()}
        ops += [
            Op("repeat_channels", (before,), (f"r{i}",), {"times": 2}),
            Op("repeat_channels", ("x16",), (f"y{i}",), {"times": 2}),
            Op("add", (f"r{i}", f"y{i}"), (f"s{i}",)),
            Op("mean_channels", (f"s{i}",), (f"m{i}",), {"group": 2}),
        ]
        before = f"m{i}"
    values["end"] = Value("f32", (16, 1))
    ops.append(Op("mean_channels", (before,), ("end",), {"group": 16}))
    return unchecked(4, values, ops, tensors, "end")


def cuts(n: int) -> bytes:
    """Groups that have to be cut: every other operator needs the whole of what the one before has written."""
    values, ops, tensors = point_network(4)
    before = "x"
    attributes = {"grid": [4, 4], "groups": [[[0, 1]]], "wrap": True, "divisor": 1}
    for i in range(n // 2):
        values |= {f"{name}{i}": Value("f32", (16, 1)) for name in "yz"}
        ops.append(Op("add", (before, "x"), (f"y{i}",)))
        ops.append(Op("stencil", (f"y{i}",), (f"z{i}",), attributes))
        before = f"z{i}"
    return unchecked(4, values, ops, tensors, before)


def large_resize(size: int) -> bytes:
    return edited_json("preprocessing", lambda content: content.update(resize_size=size))


def odd_labels(*labels: str) -> bytes:
    return edited(labels=json.dumps(labels))


def not_finite() -> bytes:
    """Finite parameters whose sums overflow: infinity and what is no number."""
    file = tiny_file()
    file.tensors["head.scale"][:] = np.float32(3e38)
    file.tensors["head.bias"][:] = np.float32([3e38, -3e38, 0])
    return to_bytes(BitvitFile(file.program, file.tensors, file.preprocessing, file.labels))


def many_small_objects(n: int) -> bytes:
    """A header of some MB whose objects would take many times as much in Python."""
    return edited(provenance="[" + "[]," * n + "[]]")


FILES: dict[str, tuple[Callable[[], bytes], type[ProgramError] | None]] = {
    "5 axes": (lambda: many_axes(5), SizeLimitError),
    "65 axes": (lambda: many_axes(65), SizeLimitError),
    "4000 axes": (lambda: many_axes(4000), SizeLimitError),
    "2^48 elements": (lambda: large_value(1 << 24, 1 << 24), SizeLimitError),
    "2^32 elements": (lambda: large_value(1 << 16, 1 << 16), SizeLimitError),
    "2^32 + 2^16 elements": (lambda: large_value((1 << 16) + 1, 1 << 16), SizeLimitError),
    "an axis of 2^32 + 1": (lambda: large_value((1 << 32) + 1, 1), SizeLimitError),
    "an axis of 2^64 + 1": (lambda: large_value((1 << 64) + 1, 1), SizeLimitError),
    "a tensor of 2^48 bytes": (lambda: large_tensor(1 << 24, 1 << 24), SizeLimitError),
    "a tensor of 2^32 bytes": (lambda: large_tensor(1 << 16, 1 << 16), SizeLimitError),
    "a tensor of 2^64 + 2^40 bytes": (lambda: large_tensor(1 << 24, (1 << 24) + 1, 1 << 16), SizeLimitError),
    "windows of 63": (lambda: large_windows(1024, 63, "max"), SizeLimitError),
    "windows of 63, average": (lambda: large_windows(1024, 63, "average"), SizeLimitError),
    "windows of 9": (lambda: large_windows(32, 9, "max"), None),
    "300 uses of 1 MB": (lambda: shared_weights(300, 1 << 18), None),
    "20 uses of 4 kB": (lambda: shared_weights(20, 1 << 10), None),
    "1000 values at once": (lambda: many_values_at_once(1000), None),
    "8000 values at once": (lambda: many_values_at_once(8000), None),
    "9000 values at once": (lambda: many_values_at_once(9000), SizeLimitError),
    "resize 17": (lambda: large_resize(17), PreprocessingError),
    "resize 8192": (lambda: large_resize(8192), PreprocessingError),
    "resize 2^63": (lambda: large_resize(2**63), PreprocessingError),
    "markup": (lambda: odd_labels("a", "b [/x]", "c"), None),
    "escape sequences": (lambda: odd_labels("\x1b[31m", "\x9b2J", "\u202e"), None),
    "not finite": (not_finite, None),
    "a million objects": (lambda: many_small_objects(1_000_000), SizeLimitError),
}

# Valid networks of any number of operators, and sizes; the last two are compared. Up to 2048 values the plan of memory
# looks at all of them for each.
GROWING: dict[str, tuple[Callable[[int], bytes], tuple[int, ...]]] = {
    "values at once": (many_values_at_once, (1000, 2000, 4000, 8000)),
    "chain": (chain, (4000, 8000)),
    "repetitions": (repetitions, (2000, 4000)),
    "cuts": (cuts, (4000, 8000, 16000)),
}
