"""statistics: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import F, in_order, sum16
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_statistics(rng: Rng) -> OperatorCase:
    shape = (random_rows(rng), random_width(rng))
    return OperatorCase("statistics", [f32(rng, *shape)], [Value("f32", shape)], [Value("f32", (2,))])


def loop_statistics(c: OperatorCase) -> list[AnyArray]:
    (x,) = c.inputs
    sums = [in_order([sum16(row) for row in x]), in_order([sum16([abs(v) for v in row]) for row in x])]
    return [np.array([total / F(x.size) for total in sums], F)]


def test_statistics_by_hand() -> None:
    assert run("statistics", [("f32", numbers([1, -2], [3, -6]))], Value("f32", (2,)))[0].tolist() == [-1, 3]
