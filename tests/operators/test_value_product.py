"""value_product: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import F
from tests.support.operator_cases import OperatorCase, Rng, bits, positive, random_heads


def case_value_product(rng: Rng) -> OperatorCase:
    n, m = (int(size) for size in rng.choice([1, 2, 7, 8, 17, 33, 66], 2))
    heads, width = random_heads(rng)
    n_masks, n_planes = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    masks = np.stack([bits(rng, heads, n, m) for _ in range(n_masks)])
    planes = rng.integers(-1, 2, (n_planes, heads, width, m)).astype(np.int8)
    planes[0] = np.where(planes[0] == 0, 1, planes[0])
    tensors = {"row_scale": positive(rng, n_masks, heads), "column_scale": positive(rng, n_planes)}
    return OperatorCase(
        "value_product",
        [masks, planes],
        [Value("mask", masks.shape), Value("ternary", planes.shape)],
        [Value("f32", (n, heads * width))],
        {},
        tensors,
    )


def loop_value_product(c: OperatorCase) -> list[AnyArray]:
    masks, planes = c.inputs
    width = planes.shape[2]
    out = np.empty(c.output_values[0].shape, F)
    for n, channel in np.ndindex(*out.shape):
        h, d = divmod(channel, width)
        y = None
        for i in range(len(masks)):
            r = None
            for j in range(len(planes)):
                t = sum(int(p) for bit, p in zip(masks[i, h, n], planes[j, h, d], strict=True) if bit)
                term = c.tensors["column_scale"][j] * F(t)
                r = term if r is None else r + term
            term = c.tensors["row_scale"][i, h] * r
            y = term if y is None else y + term
        out[n, channel] = y
    return [out]


def test_value_product_by_hand() -> None:
    masks = np.array([[[[1, 1, 0]]], [[[0, 0, 1]]]], np.bool_)  # [2, 1, 1, 3]
    planes = np.array([[[[1, -1, -1]]], [[[1, 0, 1]]]], np.int8)  # [2, 1, 1, 3]
    y = run(
        "value_product",
        [("mask", masks), ("ternary", planes)],
        Value("f32", (1, 1)),
        row_scale=numbers([2], [10]),
        column_scale=numbers(1, 100),
    )[0]
    assert y.tolist() == [[2 * (0 + 100 * 1) + 10 * (-1 + 100 * 1)]]


def product_case(rng: Rng, n_keys: int, width: int, n_planes: int, n_masks: int = 3) -> OperatorCase:
    n, heads = 21, 2
    masks = bits(rng, n_masks, heads, n, n_keys)
    masks[0, :, 0] = True
    planes = rng.integers(-1, 2, (n_planes, heads, width, n_keys)).astype(np.int8)
    planes[:, :, 0] = -1
    tensors = {"row_scale": positive(rng, n_masks, heads), "column_scale": positive(rng, n_planes)}
    values = [Value("mask", masks.shape), Value("ternary", planes.shape)], [Value("f32", (n, heads * width))]
    return OperatorCase("value_product", [masks, planes], *values, {}, tensors)


def sparse_case(rng: Rng, n_keys: int, width: int, used: int, n_ones: int) -> OperatorCase:
    """Planes after the first that have zeros for all but `used` keys, and masks after the first with few ones."""
    case = product_case(rng, n_keys, width, 3)
    masks, planes = case.inputs
    zeros = rng.permutation(n_keys)[used:]
    planes[1:, ..., zeros] = 0
    planes[0] = np.where(planes[0] == 0, 1, planes[0])
    planes[2, 1] = 0
    masks[1:] &= rng.integers(0, n_keys, masks[1:].shape) < n_ones
    masks[1, :, 1] = masks[2, :, 2] = False
    masks[2, :, 3] = True
    return case


LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    f"{n_keys} keys of width {width}, {n_planes} planes": partial(
        product_case, n_keys=n_keys, width=width, n_planes=n_planes
    )
    for n_keys, width, n_planes in ((198, 64, 3), (257, 64, 2), (785, 12, 5), (1030, 33, 1))
} | {
    f"{n_keys} keys of width {width}, {used} of them used": partial(
        sparse_case, n_keys=n_keys, width=width, used=used, n_ones=4
    )
    for n_keys, width, used in (
        *((198, 64, used) for used in (0, 1, 9, 64, 65, 130, 198)),
        (53, 64, 5),
        (64, 64, 64),
        (192, 64, 128),
        (198, 32, 9),
        (248, 64, 200),
        (300, 64, 9),
    )
}
REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "nine planes": ("OperandError", product_case(np.random.default_rng(0), 5, 3, 9)),
    "nine masks": ("OperandError", product_case(np.random.default_rng(0), 5, 3, 2, 9)),
}
