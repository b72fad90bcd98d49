"""layer_norm: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program.schema import AnyArray
from tests.support.loops import each, normalized
from tests.support.operator_cases import OperatorCase, Rng, one_to_one, random_eps


def case_layer_norm(rng: Rng) -> OperatorCase:
    return one_to_one(rng, "layer_norm", {"eps": random_eps(rng)}, "weight", "bias")


def loop_layer_norm(c: OperatorCase) -> list[AnyArray]:
    d, s = normalized(c)
    return [each(c, lambda v, n, k: (d[n][k] / s[n]) * c.tensors["weight"][k] + c.tensors["bias"][k])]
