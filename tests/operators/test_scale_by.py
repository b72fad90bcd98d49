"""scale_by: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.loops import each
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_scale_by(rng: Rng) -> OperatorCase:
    value, count = Value("f32", (random_rows(rng), random_width(rng))), int(rng.integers(1, 4))
    inputs = [f32(rng, *value.shape), f32(rng, count)]
    return OperatorCase(
        "scale_by", inputs, [value, Value("f32", (count,))], [value], {"index": int(rng.integers(count))}
    )


def loop_scale_by(c: OperatorCase) -> list[AnyArray]:
    return [each(c, lambda v, n, k: v * c.inputs[1][c.attrs["index"]])]
