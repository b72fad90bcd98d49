"""add, add_constant: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.loops import each
from tests.support.operator_cases import OperatorCase, Rng, f32, one_to_one, random_rows, random_width


def case_add(rng: Rng) -> OperatorCase:
    shape = (random_rows(rng), random_width(rng))
    return OperatorCase("add", [f32(rng, *shape), f32(rng, *shape)], [Value("f32", shape)] * 2, [Value("f32", shape)])


def case_add_constant(rng: Rng) -> OperatorCase:
    case = one_to_one(rng, "add_constant", {})
    shape = case.inputs[0].shape
    case.tensors["value"] = f32(rng, *(shape if rng.random() < 0.5 else shape[1:]))
    return case


def loop_add(c: OperatorCase) -> list[AnyArray]:
    return [each(c, lambda v, n, k: v + c.inputs[1][n, k])]


def loop_add_constant(c: OperatorCase) -> list[AnyArray]:
    value = c.tensors["value"]
    return [each(c, lambda v, n, k: v + (value[n, k] if value.ndim == 2 else value[k]))]
