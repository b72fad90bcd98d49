"""repeat_channels: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program.schema import AnyArray
from tests.support.operator_cases import OperatorCase, Rng, f32, one_value, random_channels, rows_case


def case_repeat_channels(rng: Rng) -> OperatorCase:
    n, c, times = int(rng.integers(1, 20)), random_channels(rng), int(rng.integers(1, 6))
    return one_value("repeat_channels", f32(rng, n, c), "f32", (n, c * times), {"times": times})


def loop_repeat_channels(c: OperatorCase) -> list[AnyArray]:
    return [np.array([list(row) * c.attrs["times"] for row in c.inputs[0]])]


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "repeat beyond the limit": ("OperatorAttributeError", rows_case("repeat_channels", (3, 2), (3, 4), times=2**24)),
    "repeat of another shape": ("OperandError", rows_case("repeat_channels", (3, 2), (3, 4), times=3)),
}
