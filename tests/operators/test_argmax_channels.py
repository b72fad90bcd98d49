"""argmax_channels: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def argmax_case(x: AnyArray) -> OperatorCase:
    return OperatorCase("argmax_channels", [x], [Value("f32", x.shape)], [Value("i32", x.shape[:1])])


def case_argmax_channels(rng: Rng) -> OperatorCase:
    return argmax_case(f32(rng, random_rows(rng), random_width(rng)))


def loop_argmax_channels(c: OperatorCase) -> list[AnyArray]:
    labels = []
    for row in c.inputs[0]:
        best = None
        for channel, value in enumerate(row):
            if value == value and (best is None or value > row[best]):
                best = channel
        labels.append(best or 0)
    return [np.array(labels, np.int32)]


def with_nan(rng: Rng) -> OperatorCase:
    x = f32(rng, 40, 7)
    x[rng.random(x.shape) < 0.5] = np.nan
    x[rng.random(x.shape) < 0.3] = -np.inf
    x[0] = np.nan
    return argmax_case(x)


EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
    "NaN never wins": with_nan,
    "one channel": lambda rng: argmax_case(f32(rng, 9, 1)),
    "all equal": lambda rng: argmax_case(np.zeros((9, 21), np.float32)),
}


def test_the_first_of_equals_wins() -> None:
    x = numbers([1, 3, 3], [-0.0, 0.0, -1], [np.nan, -2, -1], [np.nan, np.nan, np.nan])
    assert run("argmax_channels", [("f32", x)], Value("i32", (4,)))[0].tolist() == [1, 0, 2, 0]
