"""windows_to_heads, heads_to_windows: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from bitvit.program.schema import AnyArray
from tests.support.loops import empty
from tests.support.operator_cases import OperatorCase, Rng, bits, f32, one_value, random_channels, rows_case


def case_windows_to_heads(rng: Rng) -> OperatorCase:
    windows, n, c = int(rng.integers(1, 6)), int(rng.integers(1, 9)), random_channels(rng)
    attrs = {"windows": windows}
    if rng.random() < 0.5:
        return one_value("windows_to_heads", f32(rng, windows * n, c), "f32", (n, windows * c), attrs)
    heads = int(rng.integers(1, 4))
    return one_value("windows_to_heads", bits(rng, windows * n, heads, c), "sign", (n, windows * heads, c), attrs)


def case_heads_to_windows(rng: Rng) -> OperatorCase:
    windows, n, c = int(rng.integers(1, 6)), int(rng.integers(1, 9)), random_channels(rng)
    return one_value("heads_to_windows", f32(rng, n, windows * c), "f32", (windows * n, c), {"windows": windows})


def loop_windows_to_heads(c: OperatorCase) -> list[AnyArray]:
    (x,), windows, out = c.inputs, c.attrs["windows"], empty(c)
    n, width = len(x) // windows, x.shape[1]
    for window in range(windows):
        for i in range(n):
            out[i, window * width : (window + 1) * width] = x[window * n + i]
    return [out]


def loop_heads_to_windows(c: OperatorCase) -> list[AnyArray]:
    (x,), windows, out = c.inputs, c.attrs["windows"], empty(c)
    for window in range(windows):
        for i in range(len(x)):
            out[window * len(x) + i] = x[i, window * out.shape[1] : (window + 1) * out.shape[1]]
    return [out]


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "windows that do not fit": ("OperandError", rows_case("windows_to_heads", (3, 4), (1, 8), windows=2)),
    "channels that do not fit": ("OperandError", rows_case("heads_to_windows", (3, 4), (9, 1), windows=3)),
}
