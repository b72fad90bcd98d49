"""slice_rows: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.operator_cases import OperatorCase, Rng, bits, f32, random_rows, random_split, random_width


def case_slice_rows(rng: Rng) -> OperatorCase:
    n, c = random_rows(rng), random_width(rng)
    stop = int(rng.integers(1, n + 1))
    start = int(rng.integers(0, stop))
    output = Value("f32", (stop - start, c))
    attrs = {"start": start, "stop": stop}
    type = str(rng.choice(["f32", "sign", "mask"]))
    if type == "f32":
        return OperatorCase("slice_rows", [f32(rng, n, c)], [Value("f32", (n, c))], [output], attrs)
    shape = random_split(rng, n, c)
    output = Value(type, (stop - start, *shape[1:]))
    return OperatorCase("slice_rows", [bits(rng, *shape)], [Value(type, shape)], [output], attrs)


def loop_slice_rows(c: OperatorCase) -> list[AnyArray]:
    return [np.array([c.inputs[0][i] for i in range(c.attrs["start"], c.attrs["stop"])])]
