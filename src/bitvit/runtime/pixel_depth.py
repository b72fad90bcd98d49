"""Pixels deeper than 8 bits: which of their values is black and which is white."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

from bitvit.errors import ImageError

__all__ = [
    "PixelValues",
    "Range",
    "declared_range",
    "deep_planes",
    "fitting_range",
    "grey_and_alpha",
    "is_dark",
    "is_deep",
    "range_of_bits",
    "to_8_bit",
]

Range = tuple[float, float]

_FULL: Range = (0.0, 65535.0)
_BITS_PER_SAMPLE, _MIN_VALUE, _MAX_VALUE, _SMIN_VALUE, _SMAX_VALUE = 258, 280, 281, 340, 341
_DEPTHS = (8, 9, 10, 12, 14, 16)  # those that cameras and scanners have

# Pillow reads colours of 16 bits as 8: it keeps the byte that its raw mode points at. The other byte order is the other
# byte. Raw mode -> (raw mode of the high bytes, raw mode of the low bytes).
_BYTE_MODES = {
    f"{mode};16{order}": (f"{mode};16{order}", f"{mode};16{'B' if order in 'LN' else 'L'}")
    for mode in ("RGB", "RGBA", "RGBX")
    for order in "LBN"
}
_GREY_AND_ALPHA = "LA;16B"
"""Raw mode of which Pillow keeps the high bytes, as RGBA; a pixel's four bytes are read as they are instead."""


@dataclass(frozen=True)
class PixelValues:
    """The pixels of a deep image.

    Attributes:
        values: integers or floats, `[H,W]` or `[H,W,C]`.
        declared: the values of black and white, if the file says so.
    """

    values: npt.NDArray[Any]
    declared: Range | None


def range_of_bits(bits: int) -> Range:
    """The values of black and white of unsigned integers: 0 and 2^bits - 1."""
    return 0.0, float((1 << bits) - 1)


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has grey values of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def to_8_bit(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """`rint(clip((x - low) / (high - low), 0, 1) * 255)`; values that are not finite count as `low`."""
    if np.issubdtype(values.dtype, np.integer) and low == int(low) and high == int(high):
        # The nearest of 255 steps in whole numbers, halves up.
        first, span = int(low), int(high) - int(low)
        offset = np.clip(values.astype(np.int64) - first, 0, span)
        return ((510 * offset + span) // (2 * span)).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=low, neginf=low)
    return np.rint(np.clip((finite - low) / (high - low), 0.0, 1.0) * 255).astype(np.uint8)


def default_range(values: npt.NDArray[Any]) -> Range:
    """The range where none is given: 16 bits for integers; for floats 0 to 1 if nothing exceeds 1, else to 255."""
    if np.issubdtype(values.dtype, np.integer):
        return _FULL
    finite = values[np.isfinite(values)]
    return (0.0, 1.0) if not finite.size or finite.max() <= 1 else (0.0, 255.0)


def is_dark(high: float) -> bool:
    """Return whether float values up to `high` use less than a sixteenth of the range that is usual for them."""
    return 0 < high < 1 / 16 or 1 < high < 16


def fitting_range(extremes: Iterable[tuple[float, float, bool]]) -> Range | None:
    """Return one range for all images of a set, from the smallest and largest value of each.

    Unsigned integers get the smallest usual depth (8, 9, 10, 12, 14, 16 bits) that holds them all; floats 0 to 1, or
    the range of such a depth, or where they would be nearly black in it 0 to their largest value; values below 0, or
    beyond 16 bits, exactly the range that occurs.

    Args:
        extremes: (smallest, largest, whether they are integers) of each image.

    Raises:
        ImageError: integers and floats on different scales are mixed.
    """
    found = list(extremes)
    if not found:
        return None
    kinds = {_fit([entry for entry in found if entry[2] is integer]) for integer in {entry[2] for entry in found}}
    if len(kinds) > 1:
        first, second = sorted(kinds)
        raise ImageError(
            f"some images have values from {first[0]:g} to {first[1]:g}, others from {second[0]:g} to {second[1]:g}: "
            "convert them to one range, or set data.bit_depth"
        )
    return kinds.pop()


def _fit(extremes: list[tuple[float, float, bool]]) -> Range:
    low, high = min(entry[0] for entry in extremes), max(entry[1] for entry in extremes)
    if low < 0 or high > _FULL[1]:
        return (low, high) if high > low else (low, low + 1)
    if not extremes[0][2] and is_dark(high):
        return 0.0, high
    if not extremes[0][2] and high <= 1:
        return 0.0, 1.0
    return next(range_of_bits(bits) for bits in _DEPTHS if high <= range_of_bits(bits)[1])


def declared_range(image: Image.Image, values: npt.NDArray[Any]) -> Range | None:
    """Return the values of black and white that the file states, if it does.

    TIFF: packed samples of 12 bits, or the tags MaxSampleValue and SMaxSampleValue (with their minimum). PNG: the chunk
    sBIT, if the samples were stored as they came from the camera; the standard has them scaled up to 16 bits. Portable
    grey maps and JPEG 2000 are scaled up by Pillow.
    """
    if image.format == "TIFF":
        return _range_in_tags(getattr(image, "tag_v2", {}))
    if image.format in ("PPM", "JPEG2000") and np.issubdtype(values.dtype, np.integer):
        return _FULL
    if image.format == "PNG":
        bits = image.info.get("bitvit_significant_bits")
        if isinstance(bits, int) and 8 < bits < 16:
            return range_of_bits(bits) if _is_unscaled(values, bits) else _FULL
    return None


def _range_in_tags(tags: Any) -> Range | None:
    bits = _numbers(tags.get(_BITS_PER_SAMPLE))
    if bits and 8 < bits[0] < 16:
        return range_of_bits(int(bits[0]))
    for low_tag, high_tag in ((_SMIN_VALUE, _SMAX_VALUE), (_MIN_VALUE, _MAX_VALUE)):
        high = _numbers(tags.get(high_tag))
        low = _numbers(tags.get(low_tag)) or [0.0]
        if high and np.isfinite(high[0]) and np.isfinite(low[0]) and high[0] > low[0] and high[0] > 1:
            return low[0], high[0]
    return None


def _numbers(value: Any) -> list[float]:
    entries = value if isinstance(value, tuple | list) else [value]
    try:
        return [float(entry) for entry in entries if entry is not None]
    except (TypeError, ValueError, ZeroDivisionError):
        return []


def _is_unscaled(values: npt.NDArray[Any], bits: int) -> bool:
    """Tell raw samples of `bits` bits from those scaled up to 16, which have empty or repeated low bits."""
    if not values.size or int(values.max()) >= 1 << bits:
        return False
    low = values & ((1 << (16 - bits)) - 1)
    return bool((low != 0).any() and (low != values >> bits).any())


def note_significant_bits(image: Image.Image) -> None:
    """Keep what a PNG file states about the depth of its samples, which Pillow discards on loading."""
    stream = getattr(image, "fp", None)
    if image.format != "PNG" or stream is None:
        return
    position = stream.tell()
    try:
        stream.seek(8)
        while True:
            header = stream.read(8)
            if len(header) < 8 or header[4:] in (b"IDAT", b"IEND"):
                return
            (length,) = struct.unpack(">I", header[:4])
            if header[4:] == b"sBIT" and length <= 4:
                image.info["bitvit_significant_bits"] = max(stream.read(length), default=0)
                return
            stream.seek(length + 4, 1)
    finally:
        stream.seek(position)


def deep_planes(image: ImageFile) -> bool:
    """Return whether an image that is not loaded yet has colours of 16 bits, of which Pillow would keep 8."""
    return len(image.tile) > 0 and all(_raw_mode(tile) in _BYTE_MODES for tile in image.tile)


def grey_and_alpha(image: ImageFile) -> npt.NDArray[np.uint16] | None:
    """Load an image of grey values and transparency of 16 bits, `[H,W,2]`; None if this is none."""
    if not image.tile or any(_raw_mode(tile) != _GREY_AND_ALPHA for tile in image.tile) or image.mode != "RGBA":
        return None
    image.tile = [_with_raw_mode(tile, "RGBA") for tile in image.tile]
    image.load()
    samples = np.asarray(image).astype(np.uint16)
    values: npt.NDArray[np.uint16] = (samples[..., 0::2] << np.uint16(8)) | samples[..., 1::2]
    return values


def with_byte(image: ImageFile, low: bool) -> None:
    """Have Pillow load the low or the high byte of every sample of an image for which `deep_planes` holds."""
    image.tile = [_with_raw_mode(tile, _BYTE_MODES[_raw_mode(tile)][int(low)]) for tile in image.tile]


def _raw_mode(tile: Any) -> str:
    arguments = tile[3]
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) and re.fullmatch(r"RGB[AX]?;16[LBN]|LA;16B", mode) else ""


def _with_raw_mode(tile: Any, mode: str) -> Any:
    arguments = (mode, *tile[3][1:]) if isinstance(tile[3], tuple) else mode
    if hasattr(tile, "_replace"):
        return tile._replace(args=arguments)
    return (*tile[:3], arguments)
