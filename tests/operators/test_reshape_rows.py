"""reshape_rows: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program.schema import AnyArray
from tests.support.loops import empty
from tests.support.operator_cases import OperatorCase, Rng, f32, one_value, random_channels, random_divisor, rows_case


def case_reshape_rows(rng: Rng) -> OperatorCase:
    n, c = int(rng.integers(1, 20)), random_channels(rng)
    rows = random_divisor(rng, n * c)
    return one_value("reshape_rows", f32(rng, n, c), "f32", (rows, n * c // rows), {"rows": rows})


def loop_reshape_rows(c: OperatorCase) -> list[AnyArray]:
    out = empty(c)
    for i, value in enumerate(c.inputs[0].flat):
        out[divmod(i, out.shape[1])] = value
    return [out]


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "rows that do not fit": ("OperandError", rows_case("reshape_rows", (3, 4), (5, 2), rows=5)),
}
