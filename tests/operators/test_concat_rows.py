"""concat_rows: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_concat_rows(rng: Rng) -> OperatorCase:
    c = random_width(rng)
    inputs = [f32(rng, random_rows(rng), c) for _ in range(int(rng.integers(1, 5)))]
    output = Value("f32", (sum(len(x) for x in inputs), c))
    return OperatorCase("concat_rows", inputs, [Value("f32", x.shape) for x in inputs], [output])


def loop_concat_rows(c: OperatorCase) -> list[AnyArray]:
    return [np.array([row for x in c.inputs for row in x])]
