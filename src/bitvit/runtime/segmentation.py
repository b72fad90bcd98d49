"""What the output of a segmentation network means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.runtime.errors import OutputValueError
from bitvit.runtime.label_maps import indexed_image, nearest_resize, overlay_image

__all__ = ["Segmentation", "segment"]

Color = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The answer for one photo: the class of each of its pixels.

    Attributes:
        label_map: class numbers, uint8 `[H,W]` of the photo's own size.
        labels: names of the classes.
        colors: red, green, blue of each class.
    """

    label_map: npt.NDArray[np.uint8]
    labels: tuple[str, ...]
    colors: tuple[Color, ...]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels of each class that occurs, the largest first."""
        counts = np.bincount(self.label_map.ravel(), minlength=len(self.labels))
        order = np.argsort(-counts, kind="stable")
        return {self.labels[i]: float(counts[i] / self.label_map.size) for i in order if counts[i]}

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """The classes that occur, with their shares of the pixels, the largest first."""
        return tuple(self.shares.items())

    def image(self) -> Image.Image:
        """Return the label map as an indexed picture in the classes' colours."""
        return indexed_image(self.label_map, self.colors)

    def overlay(self, photo: Image.Image) -> Image.Image:
        """Return the photo, upright and of its own size, with the classes' colours laid over it."""
        return overlay_image(photo, self.label_map, self.colors)

    def to_json(self) -> dict[str, Any]:
        """Return size and shares as plain data."""
        height, width = self.label_map.shape
        return {
            "size": [height, width],
            "shares": [
                {"label": label, "index": self.labels.index(label), "share": share}
                for label, share in self.shares.items()
            ],
        }


def segment(
    output: npt.NDArray[np.int32],
    labels: Sequence[str],
    colors: Sequence[Color],
    image_size: tuple[int, int],
    size: tuple[int, int],
) -> Segmentation:
    """Return what the classes of one photo's cells say: brought to the photo's own size by nearest neighbour.

    Args:
        output: class of each cell, int32 `[cells]`: a grid of the network's image, or of an integer fraction of it.
        labels: names of the classes.
        colors: red, green and blue of the classes, 0 to 255.
        image_size: height and width of the network's image.
        size: of the photo.

    Raises:
        OutputValueError: a class number is none of the labels.
    """
    if output.size and (output.min() < 0 or output.max() >= len(labels)):
        raise OutputValueError("the network's output names a class that the file does not have: the file is damaged")
    step = math.isqrt(image_size[0] * image_size[1] // output.size)
    grid = output.astype(np.uint8).reshape(image_size[0] // step, image_size[1] // step)
    return Segmentation(nearest_resize(grid, size), tuple(labels), tuple(colors))
