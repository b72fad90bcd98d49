"""upsample: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program.schema import AnyArray
from tests.support.loops import empty
from tests.support.operator_cases import OperatorCase, Rng, f32, one_value, random_channels, random_grid


def case_upsample(rng: Rng) -> OperatorCase:
    (h, w), c, factor = random_grid(rng), random_channels(rng), int(rng.integers(1, 5))
    attrs = {"grid": [h, w], "factor": factor}
    return one_value("upsample", f32(rng, h * w, c), "f32", (h * w * factor**2, c), attrs)


def loop_upsample(c: OperatorCase) -> list[AnyArray]:
    (x,), (_, w), factor, out = c.inputs, c.attrs["grid"], c.attrs["factor"], empty(c)
    for n in range(len(out)):
        y, column = divmod(n, w * factor)
        out[n] = x[y // factor * w + column // factor]
    return [out]
