"""rprelu: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import each
from tests.support.operator_cases import OperatorCase, Rng, one_to_one


def case_rprelu(rng: Rng) -> OperatorCase:
    return one_to_one(rng, "rprelu", {}, "before", "slope", "after")


def loop_rprelu(c: OperatorCase) -> list[AnyArray]:
    def one(v: np.float32, n: int, k: int) -> np.float32:
        t = v - c.tensors["before"][k]
        return (c.tensors["slope"][k] * t if t < 0 else t) + c.tensors["after"][k]

    return [each(c, one)]


def test_rprelu_by_hand() -> None:
    x = numbers([1, 2, 3])
    y = run(
        "rprelu",
        [("f32", x)],
        Value("f32", (1, 3)),
        before=numbers(2, 2, 2),
        slope=numbers(3, 3, 3),
        after=numbers(1, 1, 1),
    )
    assert y[0].tolist() == [[-2, 1, 2]]
