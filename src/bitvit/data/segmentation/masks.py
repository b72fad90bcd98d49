"""Reading masks: indexed, grey or coloured pictures to class numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from bitvit.data.errors import DataError
from bitvit.data.segmentation.classes import IGNORED, Classes
from bitvit.runtime.preprocessing import MAX_PIXELS

__all__ = ["Mask", "MaskReader", "mask_values", "palette_of", "read_mask"]

Mask: TypeAlias = npt.NDArray[np.uint8]
MaskReader: TypeAlias = Callable[[Path], Mask]
"""From a mask's file to class numbers: uint8 ``[H, W]``, 255 where a pixel is ignored."""

_LOSSY = frozenset({"JPEG", "MPO"})


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings(), _opened(path) as image:
            if image.format in _LOSSY:
                raise DataError(f"{path}: JPEG changes the values of a mask; save masks as PNG")
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: a mask of {image.width} x {image.height} is more than {MAX_PIXELS} pixels")
            image.load()
            return image
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such mask") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: this mask is not an image that can be read") from None
    except MemoryError:
        raise DataError(f"{path}: not enough memory to decode this mask") from None
    except Exception as error:
        # Decoders meet damaged data with errors of all kinds (OSError, SyntaxError, struct.error, zlib.error, ...).
        raise DataError(f"{path}: the mask cannot be decoded, it is damaged: {' '.join(str(error).split())}") from None


def _opened(path: Path) -> Image.Image:
    warnings.simplefilter("ignore")
    return Image.open(path)


def mask_values(path: Path) -> npt.NDArray[np.integer[Any]]:
    """Return a mask as it is stored: palette indices or grey values `[H,W]`, or colours, uint8 `[H,W,3]`.

    Transparent pixels of a coloured mask get no special meaning.

    Raises:
        DataError: if it cannot be read, or is of another kind; the message names it.
    """
    image = _open(path)
    if image.mode in ("P", "L", "1"):
        return np.asarray(image if image.mode != "1" else image.convert("L").point(bool)).astype(np.uint8)
    if image.mode.startswith("I"):
        values: npt.NDArray[np.integer[Any]] = np.asarray(image).astype(np.int64)
        return values
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image.convert("RGB"))
    raise DataError(f"{path}: a mask is an indexed, grey or RGB picture, not {image.mode}")


def palette_of(path: Path, count: int) -> tuple[tuple[int, int, int], ...] | None:
    """Return the first `count` colours of an indexed mask's palette, or None where it has no such palette."""
    palette = _open(path).getpalette()
    if palette is None or len(palette) < 3 * count:
        return None
    return tuple((palette[3 * i], palette[3 * i + 1], palette[3 * i + 2]) for i in range(count))


def read_mask(path: Path, classes: Classes) -> Mask:
    """Return a mask as class numbers, by the colours or the values of `classes`.

    Raises:
        DataError: if it cannot be read, or holds something that stands for no class; the message names it.
    """
    values = mask_values(path)
    if values.ndim == 3:
        return _by_color(values.astype(np.uint8), classes, path)
    if values.size and (values.min() < 0 or values.max() >= 1 << 16):
        raise DataError(f"{path}: has the value {values.max()}, which belongs to no class")
    numbers: npt.NDArray[np.int16] = classes.value_table()[values]
    if (numbers < 0).any():
        first = int(values[numbers < 0][0])
        raise DataError(
            f"{path}: has the value {first}, but there are {len(classes.labels)} classes "
            f"({IGNORED} is ignored): list the class in classes.csv, or correct the mask"
        )
    return numbers.astype(np.uint8)


def _by_color(values: Mask, classes: Classes, path: Path) -> Mask:
    if classes.color_codes is None:
        raise DataError(
            f"{path}: is an RGB mask, but no colours are known: add a classes.csv with the columns "
            "name,red,green,blue, or save the mask as grey or indexed PNG"
        )
    packed = values.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
    codes = {(red << 16) | (green << 8) | blue: number for (red, green, blue), number in classes.color_codes.items()}
    known = np.array(sorted(codes), dtype=np.uint32)
    numbers = np.array([codes[int(code)] for code in known], dtype=np.uint8)
    places = np.minimum(np.searchsorted(known, packed), len(known) - 1)
    unknown = known[places] != packed
    if unknown.any():
        color = tuple(int(part) for part in values[unknown][0])
        raise DataError(f"{path}: has the colour {color}, which classes.csv does not list")
    mask: Mask = numbers[places]
    return mask
