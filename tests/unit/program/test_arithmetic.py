"""The fixed orders of summation, against loops and against each other."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program.arithmetic import integer_product, normalized, signs, sum16, sum_in_order
from tests.support import loops

LENGTHS = (1, 2, 15, 16, 17, 31, 32, 33, 48, 100, 197, 384)


@pytest.mark.parametrize("length", LENGTHS)
def test_sum16_equals_loops(length: int) -> None:
    x = (np.random.default_rng(length).standard_normal((3, length)) * 1e3).astype(np.float32)
    assert [loops.sum16(row) for row in x] == sum16(x).tolist()


def test_sum16_order_is_not_that_of_numpy() -> None:
    # 1 survives only where it meets its neighbours before 1e8 does: lanes 0 and 8 are added first.
    x = np.zeros(16, np.float32)
    x[0], x[8], x[4] = 1e8, -1e8, 1
    assert sum16(x) == 1
    x[4], x[8] = -1e8, 1
    assert sum16(x) == 0  # 1e8 + 1 rounds to 1e8


def test_sum_in_order() -> None:
    x = np.array([1e8, 1, -1e8, 1], np.float32)
    assert sum_in_order(x) == 1
    assert sum_in_order(x[[0, 2, 1, 3]]) == 2


def test_normalized_rows() -> None:
    x = np.random.default_rng(0).standard_normal((5, 37)).astype(np.float32)
    d, s = normalized(x, 1e-6)
    wide = x.astype(np.float64)
    # Sums of 37 numbers near 1: a few units in the last place.
    np.testing.assert_allclose(d, wide - wide.mean(-1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(s, np.sqrt(wide.var(-1, keepdims=True) + 1e-6), rtol=1e-6)


def test_normalized_row_without_variance() -> None:
    d, s = normalized(np.full((1, 20), 3, np.float32), 1e-6)
    assert not d.any()
    assert s[0, 0] == np.sqrt(np.float32(1e-6))


def test_integer_product_is_exact_at_the_limit() -> None:
    area = 256 * 256
    product = integer_product(np.full((1, area), 255), np.full((1, area), -128))
    assert product[0, 0] == np.float32(-255 * 128 * area)


def test_signs() -> None:
    assert signs(np.array([True, False])).tolist() == [-1, 1]
