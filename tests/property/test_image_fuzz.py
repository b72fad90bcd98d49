"""Damaged and odd images: an answer of the right shape, or an `ImageError`, and nothing else."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitvit.errors import ImageError
from bitvit.program import Preprocessing
from bitvit.runtime import load_image

SUFFIXES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


def encoded(suffix: str) -> bytes:
    noise = np.random.default_rng(2).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(stream, suffix, **({"exif": exif} if suffix in ("PNG", "JPEG", "WEBP") else {}))
    return stream.getvalue()


CONTENTS = {suffix: encoded(suffix) for suffix in SUFFIXES}
PREPROCESSING = Preprocessing((12, 10), 13, "bicubic")


def assert_loads_or_refuses(source: Any) -> None:
    try:
        result = load_image(source, PREPROCESSING)
    except ImageError:
        return
    assert result.shape == (12, 10, 3)
    assert result.dtype == np.uint8


@settings(max_examples=400)
@given(st.sampled_from(SUFFIXES), st.data())
def test_overwritten_bytes(suffix: str, data: st.DataObject) -> None:
    content = bytearray(CONTENTS[suffix])
    for _ in range(data.draw(st.integers(1, 5))):
        end = data.draw(st.sampled_from([min(200, len(content)), len(content)]))
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    assert_loads_or_refuses(io.BytesIO(bytes(content)))


@settings(max_examples=100)
@given(st.sampled_from(SUFFIXES), st.data())
def test_truncated(suffix: str, data: st.DataObject) -> None:
    content = CONTENTS[suffix]
    assert_loads_or_refuses(io.BytesIO(content[: data.draw(st.integers(0, len(content)))]))


@settings(max_examples=200)
@given(
    st.sampled_from(["uint8", "uint16", "bool", "float32", "float64", "float16", "int32"]),
    st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 40, 3000]), min_size=0, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_arrays_of_any_shape(dtype: str, shape: list[int], seed: int) -> None:
    if np.prod(shape, dtype=float) > 1e6:
        shape = shape[:1]
    bits = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    array = bits.view(dtype)[..., 0] if dtype != "bool" else bits[..., 0] > 127
    assert_loads_or_refuses(array)


@settings(max_examples=100)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 30),
    st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
)
def test_any_sizes(height: int, width: int, rows: int, columns: int, margin: int, interpolation: Any) -> None:
    image = np.full((height, width, 3), (1, 128, 255), np.uint8)
    result = load_image(image, Preprocessing((rows, columns), max(rows, columns) + margin, interpolation))
    assert result.shape == (rows, columns, 3)
    assert (result == (1, 128, 255)).all()  # nothing from outside the image gets in
