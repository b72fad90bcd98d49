"""What a report says in words."""

from __future__ import annotations

import re

import pytest

from bitvit.reporting.run_report import compared


@pytest.mark.parametrize(
    ("score", "teacher", "images", "words"),
    [
        (1.0, 1.0, 30, "equals the full-precision one in top-1;"),
        (0.5, 0.9, 400, "40.00 points below the full-precision one in top-1; .*more than chance would do"),
        (0.95, 0.9, 40, "5.00 points above the full-precision one in top-1; .*no more than chance may do"),
        (0.5, 0.9, 0, "40.00 points below the full-precision one in top-1. $"),
        (0.5, None, 400, "no full-precision network"),
    ],
)
def test_the_distance_in_words(score: float, teacher: float | None, images: int, words: str) -> None:
    assert re.search(words, compared(score, teacher, images, "top-1"))


def test_few_images_that_are_all_right_are_no_certainty() -> None:
    text = compared(1.0, 1.0, 30, "top-1")
    (error,) = re.findall(r"at most ([0-9.]+) points", text)
    # Shares of 31/32: sqrt(2 * 31/32 * 1/32 / 30).
    assert float(error) == pytest.approx(4.49, abs=0.01)
