"""affine: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program.schema import AnyArray
from tests.support.loops import each
from tests.support.operator_cases import OperatorCase, Rng, one_to_one


def case_affine(rng: Rng) -> OperatorCase:
    return one_to_one(rng, "affine", {}, "scale", "bias")


def loop_affine(c: OperatorCase) -> list[AnyArray]:
    return [each(c, lambda v, n, k: v * c.tensors["scale"][k] + c.tensors["bias"][k])]
