"""constant: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_constant(rng: Rng) -> OperatorCase:
    value = f32(rng, random_rows(rng), random_width(rng))
    return OperatorCase("constant", [], [], [Value("f32", value.shape)], {}, {"value": value})


def loop_constant(c: OperatorCase) -> list[AnyArray]:
    return [c.tensors["value"]]
