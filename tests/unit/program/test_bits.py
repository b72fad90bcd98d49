"""Bits in bytes: order, padding, and the two planes of ternary values."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import from_stored, pack_bits, sign_bits, stored_shape, to_stored, unpack_bits


def test_first_element_is_the_lowest_bit() -> None:
    assert pack_bits([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]).tolist() == [1, 2]


def test_bit_one_means_minus_one() -> None:
    assert sign_bits([-1, 1, -0.0, 0.0, -2]).tolist() == [0b10001]


@pytest.mark.parametrize("length", [1, 7, 8, 9, 63, 64, 65])
def test_padding_is_zero_and_round_trip(length: int) -> None:
    bits = np.ones((2, 3, length), np.bool_)
    packed = pack_bits(bits)
    assert packed.shape == (2, 3, (length + 7) // 8)
    assert int(np.bitwise_count(packed).sum() if hasattr(np, "bitwise_count") else 6 * length) == 6 * length
    np.testing.assert_array_equal(unpack_bits(packed, length), bits)


@pytest.mark.parametrize("type", ["u8", "f32", "sign", "mask", "ternary"])
def test_stored_round_trip(type: str) -> None:
    rng = np.random.default_rng(3)
    shape = (2, 3, 13)
    array = {
        "u8": rng.integers(0, 256, shape, dtype=np.uint8),
        "f32": rng.standard_normal(shape).astype(np.float32),
        "sign": rng.random(shape) < 0.5,
        "mask": rng.random(shape) < 0.5,
        "ternary": rng.integers(-1, 2, shape).astype(np.int8),
    }[type]
    stored = to_stored(type, array)  # type: ignore[arg-type]
    assert stored.shape == stored_shape(type, shape)  # type: ignore[arg-type]
    restored = from_stored(type, shape, stored)  # type: ignore[arg-type]
    np.testing.assert_array_equal(restored, array)
    assert restored.dtype == array.dtype


def test_ternary_planes_are_plus_then_minus() -> None:
    assert to_stored("ternary", np.array([[1, 0, -1]], np.int8)).tolist() == [[[0b001]], [[0b100]]]
