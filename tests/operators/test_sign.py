"""sign, mask: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import each_bit
from tests.support.operator_cases import OperatorCase, Rng, to_bits


def case_sign(rng: Rng) -> OperatorCase:
    return to_bits(rng, "sign", "sign", {}, "threshold")


def case_mask(rng: Rng) -> OperatorCase:
    return to_bits(rng, "mask", "mask", {}, "threshold")


def loop_sign(c: OperatorCase) -> list[AnyArray]:
    return each_bit(c, lambda v, n, k: v < c.tensors["threshold"][k])


def loop_mask(c: OperatorCase) -> list[AnyArray]:
    return each_bit(c, lambda v, n, k: v > c.tensors["threshold"][k])


def test_ties_at_thresholds() -> None:
    x = numbers([-0.0, 0.0, 1.0, -1.0])
    threshold = numbers(0, 0, 1, -1)
    assert run("sign", [("f32", x)], Value("sign", (1, 4)), threshold=threshold)[0].tolist() == [[False] * 4]
    assert run("mask", [("f32", x)], Value("mask", (1, 4)), threshold=threshold)[0].tolist() == [[False] * 4]


def test_bits_split_into_heads_keep_their_channels() -> None:
    x = numbers([-1, 1, 1, -1, -1, 1])
    bits = run("sign", [("f32", x)], Value("sign", (1, 2, 3)), threshold=np.zeros(6, np.float32))[0]
    assert bits.tolist() == [[[True, False, False], [True, True, False]]]
