"""Whether right answers are more than guessing gives."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_SKILL", "guessed_share", "is_clearly_better"]

_LEVEL = 0.01
"""Probability of taking guesses for knowledge."""
LEAST_SKILL = 0.05
"""Of the way from guessing to perfection; a significant gain that is smaller is of no use."""


def guessed_share(counts: npt.NDArray[np.float64]) -> float:
    """Return the share of right answers if answers had nothing to do with what they are given for.

    `sum_k r_k c_k / N^2`, with `r_k` the cases of class `k`, `c_k` the answers `k`, `N` the number of cases. It is
    `1 / K` for `K` classes of one size, and the share of the most frequent class where that is always the answer.

    Args:
        counts: cases of class i (row) that were taken for class j (column).
    """
    total = counts.sum()
    return float(counts.sum(axis=1) @ counts.sum(axis=0) / total**2) if total else 0.0


def is_clearly_better(right: int, cases: int, guessed: float) -> bool:
    """Return whether `right` of `cases` independent answers are more than guessing gives, a share of `guessed`.

    The exact binomial test, one-sided at 1 %, and at least a twentieth of the way from guessing to perfection.
    """
    if guessed >= 1 or not cases or right / cases - guessed < LEAST_SKILL * (1 - guessed):
        return False
    return _binomial_tail(right, cases, guessed) < _LEVEL


def _binomial_tail(right: int, cases: int, share: float) -> float:
    """Return `P(X >= right)` for `X` binomial, where `right` is above the mean."""
    if share <= 0:
        return float(right == 0)
    term = exp(
        lgamma(cases + 1)
        - lgamma(right + 1)
        - lgamma(cases - right + 1)
        + right * log(share)
        + (cases - right) * log1p(-share)
    )
    total = 0.0
    for count in range(right, cases + 1):  # above the mean terms fall at least geometrically
        total += term
        if term <= total * 1e-9:
            break
        term *= (cases - count) / (count + 1) * share / (1 - share)
    return total
