"""sign_statistics, mask_statistics: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import HALF, each_bit
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_split, random_width


def with_statistics(rng: Rng, kind: str, type: str) -> OperatorCase:
    n, c = random_rows(rng), random_width(rng)
    stats = np.abs(f32(rng, 2)) / np.float32(4)
    output = Value(type, random_split(rng, n, c))  # type: ignore[arg-type]
    return OperatorCase(kind, [f32(rng, n, c), stats], [Value("f32", (n, c)), Value("f32", (2,))], [output])


def case_sign_statistics(rng: Rng) -> OperatorCase:
    return with_statistics(rng, "sign_statistics", "sign")


def case_mask_statistics(rng: Rng) -> OperatorCase:
    return with_statistics(rng, "mask_statistics", "mask")


def loop_sign_statistics(c: OperatorCase) -> list[AnyArray]:
    return each_bit(c, lambda v, n, k: v < c.inputs[1][0])


def loop_mask_statistics(c: OperatorCase) -> list[AnyArray]:
    mean, magnitude = c.inputs[1]
    return each_bit(c, lambda v, n, k: v - mean > HALF * magnitude)


def test_ties_with_statistics() -> None:
    stats = numbers([0.5, 2])[0]
    x = numbers([0.25, 0.5, 1.5, 1.75])
    signs = run("sign_statistics", [("f32", x), ("f32", stats)], Value("sign", (1, 4)))[0]
    assert signs.tolist() == [[True, False, False, False]]  # below the mean
    masks = run("mask_statistics", [("f32", x), ("f32", stats)], Value("mask", (1, 4)))[0]
    assert masks.tolist() == [[False, False, False, True]]  # more than half of 2 above the mean
