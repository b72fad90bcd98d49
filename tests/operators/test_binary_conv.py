"""binary_conv: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bitvit.program import Value, pack_bits
from bitvit.program.schema import AnyArray
from tests.support.by_hand import run_case
from tests.support.loops import F
from tests.support.operator_cases import (
    OperatorCase,
    Rng,
    bits,
    changed,
    f32,
    random_channels,
    random_divisor,
    random_grid,
)


def case_binary_conv(rng: Rng) -> OperatorCase:
    (h, w), c = random_grid(rng), random_channels(rng)
    groups = random_divisor(rng, c)
    kernel, o = int(rng.choice([1, 3, 5])), groups * int(rng.integers(1, 9))
    tensors = {
        "weight": pack_bits(bits(rng, o, kernel * kernel, c // groups)),
        "scale": f32(rng, o),
        "bias": f32(rng, o),
    }
    attrs = {"grid": [h, w], "kernel": kernel, "dilation": int(rng.choice([1, 2, 3, 5, 9])), "groups": groups}
    x = bits(rng, h * w, c)
    return OperatorCase("binary_conv", [x], [Value("sign", x.shape)], [Value("f32", (h * w, o))], attrs, tensors)


def loop_binary_conv(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), weight = c.inputs, c.attrs["grid"], c.tensors["weight"]
    kernel, dilation = c.attrs["kernel"], c.attrs["dilation"]
    out = np.empty(c.output_values[0].shape, F)
    width, n_outputs = x.shape[1] // c.attrs["groups"], len(weight) // c.attrs["groups"]
    for n, o in np.ndindex(*out.shape):
        first = o // n_outputs * width
        z = 0
        for tap in range(kernel * kernel):
            y = n // w + (tap // kernel - kernel // 2) * dilation
            column = n % w + (tap % kernel - kernel // 2) * dilation
            if 0 <= y < h and 0 <= column < w:
                packed = int.from_bytes(weight[o, tap].tobytes(), "little")
                cell = x[y * w + column, first : first + width]
                z += sum(-1 if bool(bit) != bool(packed >> i & 1) else 1 for i, bit in enumerate(cell))
        out[n, o] = F(z) * c.tensors["scale"][o] + c.tensors["bias"][o]
    return [out]


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


EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
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
}


def valid_conv(**changes: Any) -> OperatorCase:
    return changed(conv_case(np.random.default_rng(0), (3, 3), 12, 6, 2, 3, 1), **changes)


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "even kernel": ("OperatorAttributeError", valid_conv(kernel=2)),
    "dilation of zero": ("OperatorAttributeError", valid_conv(dilation=0)),
    "groups that do not divide": ("OperandError", valid_conv(groups=5)),
    "weights of another shape": ("TensorShapeError", valid_conv(weight=np.zeros((6, 9, 2), np.uint8))),
    "bits in the padding of weights": ("TensorContentError", valid_conv(weight=np.full((6, 9, 1), 64, np.uint8))),
    "weights of another type": ("TensorTypeError", valid_conv(weight=np.zeros((6, 9, 1), np.int8))),
    "no scale": ("OperatorParameterError", valid_conv(scale=None)),
    "scale that is infinite": ("NonFiniteError", valid_conv(scale=np.full(6, np.inf, np.float32))),
}


def test_binary_conv_outside_counts_nothing() -> None:
    x, weight = np.array([[False], [True]]), np.zeros((1, 9, 1), bool)  # +1, -1; all weights +1
    case = OperatorCase(
        "binary_conv",
        [x],
        [Value("sign", (2, 1))],
        [Value("f32", (2, 1))],
        {"grid": [1, 2], "kernel": 3, "dilation": 1, "groups": 1},
        {"weight": pack_bits(weight), "scale": np.array([2], np.float32), "bias": np.array([0.5], np.float32)},
    )
    assert run_case(case).ravel().tolist() == [0.5, 0.5]
    case.attrs["dilation"] = 2
    assert run_case(case).ravel().tolist() == [2.5, -1.5]


LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    f"BHViT-S, {side} x {side} x {channels}, dilation {dilation}": partial(
        conv_case, grid=(side, side), channels=channels, outputs=channels, groups=4, kernel=3, dilation=dilation
    )
    for side, channels in ((56, 64), (28, 128), (14, 256))
    for dilation in (1, 3, 5)
}
