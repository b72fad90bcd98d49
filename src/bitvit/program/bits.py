"""Bits between their two forms: a ``numpy.bool_`` each in the interpreter, eight in a byte where they are stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitvit.program.schema import AnyArray, BitArray, ValueType

STORED_DTYPES: dict[ValueType, type[np.generic]] = {
    "u8": np.uint8,
    "f32": np.float32,
    "sign": np.uint8,
    "mask": np.uint8,
    "ternary": np.uint8,
}


# Values that are stored as they are.
_DTYPES: dict[ValueType, npt.DTypeLike] = {"u8": np.uint8, "f32": np.float32, "i32": np.int32}


def pack_bits(bits: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Pack booleans along the last axis, first element in the lowest bit, each row padded with 0 to whole bytes.

    bool [..., K] -> uint8 [..., ceil(K / 8)].
    """
    return np.packbits(np.asarray(bits, dtype=np.bool_), axis=-1, bitorder="little")


def unpack_bits(packed: npt.NDArray[np.uint8], length: int) -> BitArray:
    """Inverse of `pack_bits`: uint8 [..., ceil(length / 8)] -> bool [..., length]."""
    return np.unpackbits(packed, axis=-1, count=length, bitorder="little").view(np.bool_)


def sign_bits(signs: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Stored form of signs: bit 1 where the element is negative. Any real [..., K] -> uint8 [..., ceil(K / 8)]."""
    return pack_bits(np.asarray(signs) < 0)


def stored_shape(type: ValueType, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the stored form of a value of that type and shape (no batch axis)."""
    if type in _DTYPES:
        return shape
    packed = (*shape[:-1], (shape[-1] + 7) // 8)
    return (2, *packed) if type == "ternary" else packed


def to_stored(type: ValueType, array: AnyArray) -> AnyArray:
    """Stored form of an array of the interpreter, for one image."""
    if type in _DTYPES:
        return np.ascontiguousarray(array, dtype=_DTYPES[type])
    if type == "ternary":
        return pack_bits(np.stack([array > 0, array < 0]))
    return pack_bits(array)


def from_stored(type: ValueType, shape: tuple[int, ...], stored: AnyArray) -> AnyArray:
    """Inverse of `to_stored` for a value of that type and shape, of one image."""
    if type in _DTYPES:
        return stored.reshape(shape)
    bits = unpack_bits(stored, shape[-1])
    if type == "ternary":
        ternary: AnyArray = bits[0].astype(np.int8) - bits[1].astype(np.int8)
        return ternary
    return bits
