"""Chosen uses of the operators on grids that random ones hardly hit, and uses that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bitvit.program import Value, pack_bits
from bitvit.program.schema import AnyArray

from .operator_bases import OperatorCase, Rng, bits, f32


def stencil_case(
    rng: Rng, grid: tuple[int, int], channels: int, groups: list[Any], wrap: bool, divisor: int
) -> OperatorCase:
    shape = (grid[0] * grid[1], channels)
    attrs = {"grid": list(grid), "groups": groups, "wrap": wrap, "divisor": divisor}
    return OperatorCase("stencil", [f32(rng, *shape)], [Value("f32", shape)], [Value("f32", shape)], attrs)


def pool_case(
    rng: Rng, grid: tuple[int, int], channels: int, kind: str, kernel: int, stride: int, padding: int
) -> OperatorCase:
    shape = (grid[0] * grid[1], channels)
    h, w = ((n + 2 * padding - kernel) // stride + 1 for n in grid)
    attrs = {"grid": list(grid), "kind": kind, "kernel": kernel, "stride": stride, "padding": padding}
    return OperatorCase("pool", [f32(rng, *shape)], [Value("f32", shape)], [Value("f32", (h * w, channels))], attrs)


def conv_case(
    rng: Rng, grid: tuple[int, int], channels: int, outputs: int, groups: int, kernel: int, dilation: int
) -> OperatorCase:
    x: AnyArray = bits(rng, grid[0] * grid[1], channels)
    x[0] = rng.integers(2)
    weight = bits(rng, outputs, kernel * kernel, channels // groups)
    weight[0] = rng.integers(2)  # all products alike: the largest sums
    tensors = {"weight": pack_bits(weight), "scale": f32(rng, outputs), "bias": f32(rng, outputs)}
    attrs = {"grid": list(grid), "kernel": kernel, "dilation": dilation, "groups": groups}
    output = Value("f32", (len(x), outputs))
    return OperatorCase("binary_conv", [x], [Value("sign", x.shape)], [output], attrs, tensors)


def merge_case(rng: Rng, grid: tuple[int, int], channels: int, patch: int) -> OperatorCase:
    x = bits(rng, grid[0] * grid[1], channels)
    output = Value("sign", (len(x) // patch**2, channels * patch**2))
    attrs = {"grid": list(grid), "patch": patch}
    return OperatorCase("merge_patches", [x], [Value("sign", x.shape)], [output], attrs)


_FAR = [[63, -63], [-63, 63], [0, 0], [5, 0], [0, -7]]
_MANY = [[i % 9 - 4, i // 9 - 3] for i in range(64)]

GRID_EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
    "stencil on one cell, wrapping": lambda rng: stencil_case(rng, (1, 1), 5, [_FAR], True, 5),
    "stencil on one cell, not wrapping": lambda rng: stencil_case(rng, (1, 1), 16, [_FAR, [[1, 1]]], False, 3),
    "stencil wrapping many times": lambda rng: stencil_case(rng, (3, 2), 17, [_FAR], True, 1),
    "stencil all outside": lambda rng: stencil_case(rng, (4, 3), 20, [[[9, 0]], [[0, 9], [-9, 0]]], False, 7),
    "stencil of 64 taps": lambda rng: stencil_case(rng, (5, 6), 33, [_MANY], False, 64),
    "stencil of four quarters": lambda rng: stencil_case(
        rng, (7, 9), 64, [[[-1, 0]], [[1, 0]], [[0, -1]], [[0, 1]]], True, 1
    ),
    "stencil of groups of unequal length": lambda rng: stencil_case(
        rng, (2, 9), 12, [[[0, 0]], _MANY[:2], _MANY[:3], _MANY[:4], _MANY[:5], _MANY], True, 4
    ),
    "pool of the whole grid": lambda rng: pool_case(rng, (8, 8), 31, "average", 8, 8, 0),
    "pool beyond both edges": lambda rng: pool_case(rng, (2, 2), 16, "max", 3, 1, 1),
    "pool of one cell": lambda rng: pool_case(rng, (1, 1), 3, "average", 2, 1, 1),
    "pool leaving cells out": lambda rng: pool_case(rng, (9, 7), 40, "max", 2, 5, 0),
    "pool of windows with padding": lambda rng: pool_case(rng, (14, 14), 64, "average", 7, 7, 3),
    "convolution of one cell": lambda rng: conv_case(rng, (1, 1), 64, 64, 4, 3, 1),
    "convolution of one channel a group": lambda rng: conv_case(rng, (3, 4), 6, 6, 6, 3, 2),
    "convolution dilated beyond the grid": lambda rng: conv_case(rng, (5, 4), 32, 32, 2, 3, 63),
    "convolution half dilated beyond the grid": lambda rng: conv_case(rng, (3, 20), 48, 8, 2, 5, 7),
    "convolution with a large kernel": lambda rng: conv_case(rng, (4, 5), 3, 2, 1, 63, 1),
    "convolution with the longest rows": lambda rng: conv_case(rng, (2, 3), 3640, 3, 1, 3, 1),
    "convolution of odd width": lambda rng: conv_case(rng, (5, 3), 2 * 37, 2 * 17, 2, 3, 1),
    "convolution of 24 channels a group": lambda rng: conv_case(rng, (4, 4), 96, 40, 4, 3, 1),
    "convolution of 40 channels a group": lambda rng: conv_case(rng, (4, 4), 80, 2, 2, 3, 3),
    "convolution of 65 channels": lambda rng: conv_case(rng, (3, 3), 65, 19, 1, 3, 1),
    "convolution of one tap": lambda rng: conv_case(rng, (6, 6), 128, 70, 2, 1, 5),
    "merging bits across words": lambda rng: merge_case(rng, (4, 6), 37, 2),
    "merging bits of whole words": lambda rng: merge_case(rng, (4, 4), 128, 2),
    "merging single bits": lambda rng: merge_case(rng, (9, 9), 1, 9),
    "merging the whole grid": lambda rng: merge_case(rng, (3, 3), 65, 3),
}


def _changed(case: OperatorCase, **changes: Any) -> OperatorCase:
    """Attributes and parameters by name; None removes one."""
    attrs, tensors = dict(case.attrs), dict(case.tensors)
    for name, value in changes.items():
        target = tensors if isinstance(value, np.ndarray) or name in tensors else attrs
        target.pop(name, None)
        if value is not None:
            target[name] = value
    return replace(case, attrs=attrs, tensors=tensors)


def _stencil(**changes: Any) -> OperatorCase:
    return _changed(stencil_case(np.random.default_rng(0), (2, 3), 8, [[[0, 0]]], True, 1), **changes)


def _pool(**changes: Any) -> OperatorCase:
    return _changed(pool_case(np.random.default_rng(0), (4, 4), 8, "max", 2, 2, 0), **changes)


def _conv(**changes: Any) -> OperatorCase:
    return _changed(conv_case(np.random.default_rng(0), (3, 3), 12, 6, 2, 3, 1), **changes)


def _rows(kind: str, shape: tuple[int, int], output: tuple[int, int], **changes: Any) -> OperatorCase:
    x = f32(np.random.default_rng(0), *shape)
    return _changed(OperatorCase(kind, [x], [Value("f32", shape)], [Value("f32", output)]), **changes)


def _int32(*values: int) -> AnyArray:
    return np.array(values, dtype=np.int32)


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "grid of another size": ("OperatorAttributeError", _stencil(grid=[2, 4])),
    "grid of one number": ("OperatorAttributeError", _stencil(grid=[6])),
    "negative grid": ("OperatorAttributeError", _stencil(grid=[-2, -3])),
    "grid whose product overflows": ("OperatorAttributeError", _stencil(grid=[2**62, 2**62])),
    "no grid": ("OperatorAttributeError", _stencil(grid=None)),
    "no groups": ("OperatorAttributeError", _stencil(groups=[])),
    "groups that do not divide the channels": ("OperatorAttributeError", _stencil(groups=[[[0, 0]]] * 3)),
    "group without taps": ("OperatorAttributeError", _stencil(groups=[[]])),
    "too many taps": ("OperatorAttributeError", _stencil(groups=[[[0, 0]] * 65])),
    "tap of three numbers": ("OperatorAttributeError", _stencil(groups=[[[0, 0, 0]]])),
    "tap of floats": ("OperatorAttributeError", _stencil(groups=[[[0.0, 1.0]]])),
    "tap too far away": ("OperatorAttributeError", _stencil(groups=[[[0, 64]]])),
    "tap that is no list": ("OperatorAttributeError", _stencil(groups=[[3]])),
    "wrap as a number": ("OperatorAttributeError", _stencil(wrap=1)),
    "divisor of zero": ("OperatorAttributeError", _stencil(divisor=0)),
    "divisor as a truth value": ("OperatorAttributeError", _stencil(divisor=True)),
    "unknown attribute": ("OperatorAttributeError", _stencil(stride=1)),
    "unknown kind of pool": ("OperatorAttributeError", _pool(kind="median")),
    "kind as a number": ("OperatorAttributeError", _pool(kind=1)),
    "kernel larger than the padded grid": ("OperatorAttributeError", _pool(kernel=7, padding=1)),
    "padding beyond half the kernel": ("OperatorAttributeError", _pool(padding=2)),
    "pool of another shape": ("OperandError", _pool(stride=1)),
    "even kernel": ("OperatorAttributeError", _conv(kernel=2)),
    "dilation of zero": ("OperatorAttributeError", _conv(dilation=0)),
    "groups that do not divide": ("OperandError", _conv(groups=5)),
    "weights of another shape": ("TensorShapeError", _conv(weight=np.zeros((6, 9, 2), np.uint8))),
    "bits in the padding of weights": ("TensorContentError", _conv(weight=np.full((6, 9, 1), 64, np.uint8))),
    "weights of another type": ("TensorTypeError", _conv(weight=np.zeros((6, 9, 1), np.int8))),
    "no scale": ("OperatorParameterError", _conv(scale=None)),
    "scale that is infinite": ("NonFiniteError", _conv(scale=np.full(6, np.inf, np.float32))),
    "patches that do not fit": (
        "OperatorAttributeError",
        _rows("merge_patches", (12, 4), (3, 16), grid=[3, 4], patch=2),
    ),
    "index beyond the rows": ("TensorContentError", _rows("gather_rows", (3, 2), (1, 2), index=_int32(3))),
    "negative index": ("TensorContentError", _rows("gather_rows", (3, 2), (1, 2), index=_int32(-1))),
    "index of another type": ("TensorTypeError", _rows("gather_rows", (3, 2), (1, 2), index=np.zeros(1, np.int8))),
    "index of two axes": ("TensorShapeError", _rows("gather_rows", (3, 2), (1, 2), index=_int32(0).reshape(1, 1))),
    "repeat beyond the limit": ("OperatorAttributeError", _rows("repeat_channels", (3, 2), (3, 4), times=2**24)),
    "repeat of another shape": ("OperandError", _rows("repeat_channels", (3, 2), (3, 4), times=3)),
    "groups of channels that do not fit": ("OperandError", _rows("mean_channels", (3, 4), (3, 2), group=3)),
    "rows that do not fit": ("OperandError", _rows("reshape_rows", (3, 4), (5, 2), rows=5)),
    "windows that do not fit": ("OperandError", _rows("windows_to_heads", (3, 4), (1, 8), windows=2)),
    "channels that do not fit": ("OperandError", _rows("heads_to_windows", (3, 4), (9, 1), windows=3)),
}
