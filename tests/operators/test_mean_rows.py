"""mean_rows: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.loops import F, in_order
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_mean_rows(rng: Rng) -> OperatorCase:
    n, c = random_rows(rng), random_width(rng)
    return OperatorCase("mean_rows", [f32(rng, n, c)], [Value("f32", (n, c))], [Value("f32", (1, c))])


def loop_mean_rows(c: OperatorCase) -> list[AnyArray]:
    (x,) = c.inputs
    return [np.array([[in_order(x[:, k]) / F(len(x)) for k in range(x.shape[1])]], F)]
