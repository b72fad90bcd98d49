"""attention_masks_statistics: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run, scores, softmax
from tests.support.loops import HALF, ZERO, F, attention, in_order, sum16
from tests.support.operator_cases import OperatorCase, Rng, exponential_table, queries_and_keys


def case_attention_masks_statistics(rng: Rng) -> OperatorCase:
    inputs, values, heads, n, m, width = queries_and_keys(rng)
    attrs = {"phase": int(rng.integers(1, 3)), "patches": int(rng.choice([0, 1, n, 10 * n]))}
    outputs = [Value("mask", (1, heads, n, m)), Value("f32", (1,))]
    tensors = {"table": exponential_table(rng, width)}
    return OperatorCase("attention_masks_statistics", inputs, values, outputs, attrs, tensors)


def loop_attention_masks_statistics(c: OperatorCase) -> list[AnyArray]:
    a = attention(c)
    rows = [a[h, n] for h in range(a.shape[0]) for n in range(a.shape[1])]
    gamma = in_order([sum16(row) for row in rows]) / F(a.size)
    count = sum(1 for v in a.flat if v > HALF)
    if c.attrs["phase"] == 2 and count:
        large = in_order([sum16([v if v > HALF else ZERO for v in row]) for row in rows]) / F(count)
        if sum(1 for v in a.flat if v > HALF * large) >= c.attrs["patches"]:
            gamma = large
    bits = np.array([v > HALF * gamma for v in a.flat], np.bool_).reshape(c.output_values[0].shape)
    return [bits, np.array([gamma], F)]


def baseline_masks(phase: int, patches: int, steepness: float) -> tuple[AnyArray, float, AnyArray]:
    table = np.exp(-steepness * np.arange(5)).astype(np.float32)
    outputs = (Value("mask", (1, 1, 2, 3)), Value("f32", (1,)))
    attrs = {"phase": phase, "patches": patches}
    masks, gamma = run("attention_masks_statistics", scores(), *outputs, attrs=attrs, table=table)
    return masks[0, 0], float(gamma[0]), softmax(table)


def test_gamma_of_phase_one_is_the_mean() -> None:
    masks, gamma, a = baseline_masks(1, 0, 1.0)
    assert gamma == pytest.approx(a.mean(), rel=1e-6)  # binary32 against binary64
    np.testing.assert_array_equal(masks, a > 0.5 * a.mean())


def test_gamma_of_phase_two_is_the_mean_of_the_large() -> None:
    masks, gamma, a = baseline_masks(2, 2, 1.0)
    assert (a > 0.5).sum() == 2
    assert gamma == pytest.approx(a[a > 0.5].mean(), rel=1e-6)
    np.testing.assert_array_equal(masks, a > 0.5 * gamma)


def test_gamma_of_phase_two_switches_back() -> None:
    _, with_few, a = baseline_masks(2, 3, 1.0)
    assert with_few == pytest.approx(a.mean(), rel=1e-6)
    _, with_none, flat = baseline_masks(2, 0, 0.01)
    assert (flat < 0.5).all()
    assert with_none == pytest.approx(flat.mean(), rel=1e-6)


def test_ties_with_gamma() -> None:
    # Exponentials 1, 1/2, 1/4, 1/4 have the sum 2, so a = 1/2, 1/4, 1/8, 1/8 and gamma = 1/4.
    q = np.zeros((1, 1, 2), np.bool_)
    k = np.array([[[0, 0]], [[1, 0]], [[1, 1]], [[1, 1]]], np.bool_)
    outputs = (Value("mask", (1, 1, 1, 4)), Value("f32", (1,)))
    for phase in (1, 2):  # nothing exceeds 1/2, so that phase 2 takes the same gamma
        masks, gamma = run(
            "attention_masks_statistics",
            [("sign", q), ("sign", k)],
            *outputs,
            attrs={"phase": phase, "patches": 0},
            table=numbers([1, 0.5, 0.25])[0],
        )
        assert gamma.tolist() == [0.25]
        assert masks.tolist() == [[[[True, True, False, False]]]]


@pytest.mark.parametrize(("patches", "expected"), [(2, 1 / 1.7), (3, 1 / 3)])
def test_phase_two_counts_what_exceeds_half_of_the_new_gamma(patches: int, expected: float) -> None:
    # a = 0.588, 0.353, 0.059: only one value exceeds 1/2, but two exceed half of it.
    k = np.array([[[0, 0]], [[1, 0]], [[1, 1]]], np.bool_)
    gamma = run(
        "attention_masks_statistics",
        [("sign", np.zeros((1, 1, 2), np.bool_)), ("sign", k)],
        Value("mask", (1, 1, 1, 3)),
        Value("f32", (1,)),
        attrs={"phase": 2, "patches": patches},
        table=numbers([1, 0.6, 0.1])[0],
    )[1]
    assert gamma[0] == pytest.approx(expected, rel=1e-6)
