"""Which packaged recipe suits a data set."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from bitvit.data import Data
from bitvit.data.target_set import TargetSet
from bitvit.errors import ImageError
from bitvit.tasks import DefaultRecipe, task_named

__all__ = ["choose_recipe"]

_LOOKED_AT = 100


def choose_recipe(data: Data) -> tuple[str, str]:
    """Return the name of the first of the task's recipes that suits the images' size and number, and why.

    Sizes are those of some training images; most files say theirs without being decoded.
    """
    height, width = _median_size(data.train)
    side, count = min(height, width), len(data.train)
    chosen = next(entry for entry in task_named(data.task).recipes if _suits(entry, side, count))
    reason = (
        f"{count} training images, mostly about {width} x {height} pixels; the network sees them at "
        f"{chosen.image_side} x {chosen.image_side}"
    )
    return chosen.name, reason


def _suits(entry: DefaultRecipe, side: int, count: int) -> bool:
    return (entry.largest_side is None or side <= entry.largest_side) and count >= entry.least_images


def _median_size(images: TargetSet) -> tuple[int, int]:
    positions = np.unique(np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).round().astype(np.int64))
    heights, widths = zip(*(_size(images, int(position)) for position in positions), strict=True)
    return int(np.median(heights)), int(np.median(widths))


def _size(images: TargetSet, position: int) -> tuple[int, int]:
    name = images.describe(position)
    if not os.path.isfile(name):
        image = images.image(position)
        return image.height, image.width
    try:
        with Image.open(name) as file:
            return file.height, file.width
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read ({error})") from None
