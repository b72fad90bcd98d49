"""mean_channels: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program.schema import AnyArray
from tests.support.loops import F, empty, in_order
from tests.support.operator_cases import OperatorCase, Rng, f32, one_value, random_channels, random_divisor, rows_case


def case_mean_channels(rng: Rng) -> OperatorCase:
    n, c = int(rng.integers(1, 20)), random_channels(rng)
    group = random_divisor(rng, c)
    return one_value("mean_channels", f32(rng, n, c), "f32", (n, c // group), {"group": group})


def loop_mean_channels(c: OperatorCase) -> list[AnyArray]:
    (x,), group, out = c.inputs, c.attrs["group"], empty(c)
    for n, o in np.ndindex(*out.shape):
        out[n, o] = in_order(list(x[n, o * group : (o + 1) * group])) / F(group)
    return [out]


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "groups of channels that do not fit": ("OperandError", rows_case("mean_channels", (3, 4), (3, 2), group=3)),
}
