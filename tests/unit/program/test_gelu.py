"""The fixed approximation of GELU: its accuracy, its shape, and that page and code hold the same numbers."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from bitvit.program.gelu import COEFFICIENTS, gelu, phi

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "format.md"


def exact_gelu(x: float) -> float:
    return 0.5 * x * math.erfc(-x / math.sqrt(2))


def test_close_to_the_exact_function() -> None:
    x = np.linspace(-16, 16, 200_001).astype(np.float32)
    error = np.abs(gelu(x).astype(np.float64) - np.array([exact_gelu(float(v)) for v in x]))
    # Beyond 8 the spacing of binary32 is 9.5e-7, but there gelu(x) is x itself.
    assert error.max() < 6.2e-7, f"largest error at {x[error.argmax()]}"


def test_coefficients_are_those_of_the_format_page() -> None:
    page = dict(re.findall(r"\| g(\d) \| `(0x\S+)` \|", FORMAT_PAGE.read_text(encoding="utf-8")))
    assert [float.fromhex(page[str(i)]) for i in range(1, 7)] == list(COEFFICIENTS[1:])
    assert [float(np.float32(c)) for c in COEFFICIENTS] == list(COEFFICIENTS)
    assert COEFFICIENTS[0] == 1


def test_never_decreases_above_zero() -> None:
    start = np.float32(0.5).view(np.uint32)
    for first in range(int(start), int(np.float32(8).view(np.uint32)), 1 << 20):
        x = np.arange(first, first + 4096, dtype=np.uint32).view(np.float32)  # neighbouring numbers
        assert (np.diff(gelu(x)) >= 0).all(), x[0]


def test_zeros_and_extremes() -> None:
    x = np.array([0.0, -0.0, 1e-45, 30.0, 3e38, -30.0, -3e38], np.float32)
    expected = np.array([0.0, -0.0, 0.0, 30.0, 3e38, 0.0, 0.0], np.float32)
    with np.errstate(all="ignore"):
        result = gelu(x)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-44)
    assert np.signbit(result[1])
    assert not np.signbit(result[0])


def test_phi_is_symmetric() -> None:
    x = np.linspace(0.001, 6, 999).astype(np.float32)
    np.testing.assert_array_equal(phi(x), np.float32(1) - phi(-x))
