"""stencil: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import one_channel
from tests.support.loops import ZERO, F, empty, in_order
from tests.support.operator_cases import (
    OperatorCase,
    Rng,
    changed,
    f32,
    one_value,
    random_channels,
    random_divisor,
    random_grid,
)


def case_stencil(rng: Rng) -> OperatorCase:
    (h, w), c = random_grid(rng), random_channels(rng)
    groups = [rng.integers(-4, 5, (int(rng.integers(1, 6)), 2)).tolist() for _ in range(random_divisor(rng, c))]
    attrs = {
        "grid": [h, w],
        "groups": groups,
        "wrap": bool(rng.integers(2)),
        "divisor": int(rng.choice([1, 2, 3, 5])),
    }
    return one_value("stencil", f32(rng, h * w, c), "f32", (h * w, c), attrs)


def loop_stencil(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), out = c.inputs, c.attrs["grid"], empty(c)
    width = x.shape[1] // len(c.attrs["groups"])
    for n, channel in np.ndindex(*out.shape):
        values = []
        for dy, dx in c.attrs["groups"][channel // width]:
            y, column = n // w + dy, n % w + dx
            if c.attrs["wrap"]:
                values.append(x[y % h * w + column % w, channel])
            else:
                values.append(x[y * w + column, channel] if 0 <= y < h and 0 <= column < w else ZERO)
        total, divisor = in_order(values), c.attrs["divisor"]
        out[n, channel] = total / F(divisor) if divisor > 1 else total
    return [out]


def stencil_case(
    rng: Rng, grid: tuple[int, int], channels: int, groups: list[Any], wrap: bool, divisor: int
) -> OperatorCase:
    shape = (grid[0] * grid[1], channels)
    attrs = {"grid": list(grid), "groups": groups, "wrap": wrap, "divisor": divisor}
    return OperatorCase("stencil", [f32(rng, *shape)], [Value("f32", shape)], [Value("f32", shape)], attrs)


FAR = [[63, -63], [-63, 63], [0, 0], [5, 0], [0, -7]]
MANY = [[i % 9 - 4, i // 9 - 3] for i in range(64)]


EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
    "stencil on one cell, wrapping": lambda rng: stencil_case(rng, (1, 1), 5, [FAR], True, 5),
    "stencil on one cell, not wrapping": lambda rng: stencil_case(rng, (1, 1), 16, [FAR, [[1, 1]]], False, 3),
    "stencil wrapping many times": lambda rng: stencil_case(rng, (3, 2), 17, [FAR], True, 1),
    "stencil all outside": lambda rng: stencil_case(rng, (4, 3), 20, [[[9, 0]], [[0, 9], [-9, 0]]], False, 7),
    "stencil of 64 taps": lambda rng: stencil_case(rng, (5, 6), 33, [MANY], False, 64),
    "stencil of four quarters": lambda rng: stencil_case(
        rng, (7, 9), 64, [[[-1, 0]], [[1, 0]], [[0, -1]], [[0, 1]]], True, 1
    ),
    "stencil of groups of unequal length": lambda rng: stencil_case(
        rng, (2, 9), 12, [[[0, 0]], MANY[:2], MANY[:3], MANY[:4], MANY[:5], MANY], True, 4
    ),
}


def valid_stencil(**changes: Any) -> OperatorCase:
    return changed(stencil_case(np.random.default_rng(0), (2, 3), 8, [[[0, 0]]], True, 1), **changes)


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "grid of another size": ("OperatorAttributeError", valid_stencil(grid=[2, 4])),
    "grid of one number": ("OperatorAttributeError", valid_stencil(grid=[6])),
    "negative grid": ("OperatorAttributeError", valid_stencil(grid=[-2, -3])),
    "grid whose product overflows": ("OperatorAttributeError", valid_stencil(grid=[2**62, 2**62])),
    "no grid": ("OperatorAttributeError", valid_stencil(grid=None)),
    "no groups": ("OperatorAttributeError", valid_stencil(groups=[])),
    "groups that do not divide the channels": ("OperatorAttributeError", valid_stencil(groups=[[[0, 0]]] * 3)),
    "group without taps": ("OperatorAttributeError", valid_stencil(groups=[[]])),
    "too many taps": ("OperatorAttributeError", valid_stencil(groups=[[[0, 0]] * 65])),
    "tap of three numbers": ("OperatorAttributeError", valid_stencil(groups=[[[0, 0, 0]]])),
    "tap of floats": ("OperatorAttributeError", valid_stencil(groups=[[[0.0, 1.0]]])),
    "tap too far away": ("OperatorAttributeError", valid_stencil(groups=[[[0, 64]]])),
    "tap that is no list": ("OperatorAttributeError", valid_stencil(groups=[[3]])),
    "wrap as a number": ("OperatorAttributeError", valid_stencil(wrap=1)),
    "divisor of zero": ("OperatorAttributeError", valid_stencil(divisor=0)),
    "divisor as a truth value": ("OperatorAttributeError", valid_stencil(divisor=True)),
    "unknown attribute": ("OperatorAttributeError", valid_stencil(stride=1)),
}


def test_stencil_wraps_or_meets_zeros() -> None:
    attrs = {"grid": [2, 3], "groups": [[[0, 1]]], "wrap": True, "divisor": 1}
    assert one_channel("stencil", [1, 2, 3, 4, 5, 6], attrs, 6) == [2, 3, 1, 5, 6, 4]
    attrs["wrap"] = False
    assert one_channel("stencil", [1, 2, 3, 4, 5, 6], attrs, 6) == [2, 3, 0, 5, 6, 0]


def test_stencil_adds_in_the_order_of_its_taps() -> None:
    # 1e8 swallows 1: only the order (1e8 - 1e8) + 1 keeps it.
    attrs = {"grid": [1, 3], "groups": [[[0, 0], [0, 1], [0, 2]]], "wrap": True, "divisor": 1}
    assert one_channel("stencil", [1e8, -1e8, 1.0], attrs, 3) == [1.0, 0.0, 0.0]


COLUMN = [[0, 0], [-1, 0], [1, 0], [-2, 0], [2, 0]]
QUARTERS = [[[-2, 0]], [[2, 0]], [[0, -2]], [[0, 2]]]
LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    "BHViT-S, column": lambda rng: stencil_case(rng, (56, 56), 64, [COLUMN], True, 5),
    "BHViT-S, quarters": lambda rng: stencil_case(rng, (14, 14), 256, QUARTERS, True, 1),
}
