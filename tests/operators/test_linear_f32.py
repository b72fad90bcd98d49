"""linear_f32: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.loops import F
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_linear_f32(rng: Rng) -> OperatorCase:
    n, k, o = random_rows(rng), random_width(rng), random_width(rng)
    tensors = {"weight": f32(rng, o, k), "bias": f32(rng, o)}
    return OperatorCase("linear_f32", [f32(rng, n, k)], [Value("f32", (n, k))], [Value("f32", (n, o))], {}, tensors)


def loop_linear_f32(c: OperatorCase) -> list[AnyArray]:
    (x,), weight = c.inputs, c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, o in np.ndindex(*out.shape):
        y = c.tensors["bias"][o]
        for k in range(x.shape[1]):
            y = y + x[n, k] * weight[o, k]
        out[n, o] = y
    return [out]
