"""Label maps: from the network's size to the photo's own, and as pictures. NumPy and Pillow only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["IGNORED", "MAX_CLASSES", "default_colors", "indexed_image", "nearest_resize", "overlay_image"]

MAX_CLASSES = 255
"""Classes of a segmentation: a mask keeps one byte a pixel, and 255 means ignored."""

IGNORED = 255
"""The class number of pixels that count for nothing, in training as in evaluation."""

Labels = npt.NDArray[np.uint8]


def nearest_resize(labels: Labels, size: tuple[int, int]) -> Labels:
    """Resize a label map by nearest neighbour, in integers.

    Output row i shows input row ``floor((2 i + 1) h / (2 H))``: the row that its centre falls into; columns alike.

    Args:
        labels: uint8 ``[h, w]``.
        size: H and W.

    Returns:
        uint8 ``[H, W]``.
    """
    if labels.shape == tuple(size):
        return labels
    rows, columns = (
        (2 * np.arange(wanted, dtype=np.int64) + 1) * given // (2 * wanted)
        for given, wanted in zip(labels.shape, size, strict=True)
    )
    return np.ascontiguousarray(labels[rows[:, None], columns[None, :]])


def default_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return well separated colours for classes that have none of their own: the palette of Pascal VOC.

    The bits of a class number go to the three colours in turn, highest first, so small numbers are far apart. Class 0
    is black.
    """
    colors = []
    for number in range(count):
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (number >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append((color[0], color[1], color[2]))
    return tuple(colors)


def indexed_image(labels: Labels, colors: Sequence[Sequence[int]]) -> Image.Image:
    """Return a label map as an indexed picture: its pixels are class numbers, its palette the classes' colours."""
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette([int(part) for color in colors for part in color])
    return image


def overlay_image(
    photo: Image.Image, labels: Labels, colors: Sequence[Sequence[int]], opacity: float = 0.5
) -> Image.Image:
    """Return the photo (RGB) with the classes' colours laid over it; class 0 and its colour too."""
    drawn = indexed_image(labels, colors).convert("RGB")
    return Image.blend(photo.convert("RGB"), drawn, opacity)
