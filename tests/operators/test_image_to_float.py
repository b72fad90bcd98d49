"""image_to_float: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.loops import F
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows


def case_image_to_float(rng: Rng) -> OperatorCase:
    shape = (random_rows(rng), random_rows(rng), 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    tensors = {"mul": f32(rng, 3), "add": f32(rng, 3)}
    return OperatorCase("image_to_float", [image], [Value("u8", shape)], [Value("f32", shape)], {}, tensors)


def loop_image_to_float(c: OperatorCase) -> list[AnyArray]:
    (x,) = c.inputs
    out = np.empty(x.shape, F)
    for i in np.ndindex(*x.shape):
        out[i] = F(int(x[i])) * c.tensors["mul"][i[-1]] + c.tensors["add"][i[-1]]
    return [out]
