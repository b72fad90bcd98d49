"""The test against guessing, beside sums of exact numbers."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from bitvit.tasks.guessing import guessed_share, is_clearly_better


def exact_tail(right: int, cases: int, share: Fraction) -> Fraction:
    return sum(
        (comb(cases, k) * share**k * (1 - share) ** (cases - k) for k in range(right, cases + 1)), start=Fraction()
    )


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 10), Fraction(9, 10), Fraction(1, 100)])
@pytest.mark.parametrize("cases", [1, 5, 36, 200])
def test_the_binomial_test_is_exact(cases: int, share: Fraction) -> None:
    for right in range(cases + 1):
        has_effect = (Fraction(right, cases) - share) / (1 - share) >= Fraction(1, 20)
        expected = has_effect and exact_tail(right, cases, share) < Fraction(1, 100)
        assert is_clearly_better(right, cases, float(share)) is expected, right


def test_large_numbers() -> None:
    assert is_clearly_better(40_000, 50_000, 0.001)
    assert not is_clearly_better(60, 50_000, 0.001)  # significant, and of no use
    assert not is_clearly_better(100, 100, 1.0) and not is_clearly_better(0, 0, 0.5)
    assert is_clearly_better(5, 5, 0.0)


def test_the_share_of_guesses() -> None:
    assert guessed_share(np.full((4, 4), 3.0)) == 0.25
    assert guessed_share(np.array([[90.0, 0.0], [10.0, 0.0]])) == pytest.approx(0.9)  # always the frequent class
    assert guessed_share(np.array([[90.0, 0.0], [0.0, 10.0]])) == pytest.approx(0.82)
    assert guessed_share(np.zeros((2, 2))) == 0
