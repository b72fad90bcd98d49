"""patch_conv_u8, patch_conv_f32: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import F
from tests.support.operator_cases import OperatorCase, Rng, f32, random_width


def case_patch_conv_u8(rng: Rng) -> OperatorCase:
    patch, rows, columns, n_outputs = (
        int(rng.choice([1, 2, 3, 4, 16])),
        *(int(rng.integers(1, 4)) for _ in "hw"),
        random_width(rng),
    )
    shape = (rows * patch, columns * patch, 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    if rng.random() < 0.2:
        image[:] = 255
    weight = rng.integers(-128, 128, (n_outputs, patch, patch, 3), dtype=np.int8)
    if rng.random() < 0.2:
        weight[:] = -128
    tensors = {"weight": weight, "scale": f32(rng, n_outputs, 3), "bias": f32(rng, n_outputs)}
    output = Value("f32", (rows * columns, n_outputs))
    return OperatorCase("patch_conv_u8", [image], [Value("u8", shape)], [output], {"patch": patch}, tensors)


def case_patch_conv_f32(rng: Rng) -> OperatorCase:
    patch, channels, n_outputs = int(rng.integers(1, 5)), int(rng.integers(1, 5)), random_width(rng)
    rows, columns = (int(rng.integers(1, 4)) for _ in "hw")
    shape = (rows * patch, columns * patch, channels)
    tensors = {"weight": f32(rng, n_outputs, patch, patch, channels), "bias": f32(rng, n_outputs)}
    output = Value("f32", (rows * columns, n_outputs))
    return OperatorCase(
        "patch_conv_f32", [f32(rng, *shape)], [Value("f32", shape)], [output], {"patch": patch}, tensors
    )


def patch_positions(c: OperatorCase) -> list[tuple[int, int]]:
    height, width, _ = c.inputs[0].shape
    patch = c.attrs["patch"]
    return [(y, x) for y in range(0, height, patch) for x in range(0, width, patch)]


def loop_patch_conv_u8(c: OperatorCase) -> list[AnyArray]:
    (image,), patch, weight = c.inputs, c.attrs["patch"], c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, (top, left) in enumerate(patch_positions(c)):
        area = image[top : top + patch, left : left + patch].astype(int)
        for o in range(len(weight)):
            y = c.tensors["bias"][o]
            for channel in range(3):
                acc = int((area[..., channel] * weight[o, ..., channel].astype(int)).sum())
                y = y + c.tensors["scale"][o, channel] * F(acc)
            out[n, o] = y
    return [out]


def loop_patch_conv_f32(c: OperatorCase) -> list[AnyArray]:
    (image,), weight = c.inputs, c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, (top, left) in enumerate(patch_positions(c)):
        for o in range(len(weight)):
            y = c.tensors["bias"][o]
            for dy, dx, channel in np.ndindex(*weight.shape[1:]):
                y = y + image[top + dy, left + dx, channel] * weight[o, dy, dx, channel]
            out[n, o] = y
    return [out]


def test_patch_conv_u8_visits_patches_row_by_row() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    weight = np.zeros((3, 2, 2, 3), np.int8)
    for channel in range(3):
        weight[channel, 1, 0, channel] = 1  # output c reads the lower left pixel's channel c
    y = run(
        "patch_conv_u8",
        [("u8", image)],
        Value("f32", (6, 3)),
        attrs={"patch": 2},
        weight=weight,
        scale=np.ones((3, 3), np.float32),
        bias=numbers(0, 0, 0),
    )[0]
    np.testing.assert_array_equal(y.reshape(2, 3, 3), image[1::2, 0::2])


def real_patches(rng: Rng) -> OperatorCase:
    shape, n_outputs = (64, 48, 3), 50
    tensors = {
        "weight": rng.integers(-128, 128, (n_outputs, 16, 16, 3), dtype=np.int8),
        "scale": f32(rng, n_outputs, 3),
        "bias": f32(rng, n_outputs),
    }
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    values = [Value("u8", shape)], [Value("f32", (12, n_outputs))]
    return OperatorCase("patch_conv_u8", [image], *values, {"patch": 16}, tensors)


LARGE: dict[str, Callable[[Rng], OperatorCase]] = {"patches of 16": real_patches}
