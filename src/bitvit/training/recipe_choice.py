"""Which packaged recipe suits a data set."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bitvit.data import Data
from bitvit.data.target_set import TargetSet
from bitvit.errors import ImageError
from bitvit.tasks import task_named

__all__ = ["RecipeChoice", "choose_recipe"]

_LOOKED_AT = 100
_LONG = 2
"""Sides' ratio from which on the middle square is less than half of an image."""


@dataclass(frozen=True)
class RecipeChoice:
    """A packaged recipe for certain images.

    Attributes:
        name: of the recipe.
        reason: one line.
    """

    name: str
    reason: str


def choose_recipe(data: Data) -> RecipeChoice:
    """Return the first of the task's recipes that suits the images' size.

    Sizes are those of some training images; most files say theirs without being decoded. The recipes themselves suit
    any number of images, as an epoch of few takes them several times (`least_steps`).

    Args:
        data: with the training images.
    """
    height, width = _median_size(data.train)
    side, count = min(height, width), len(data.train)
    chosen = next(
        entry for entry in task_named(data.task).recipes if entry.largest_side is None or side <= entry.largest_side
    )
    parts = [
        f"{count} training images, mostly about {width} x {height} pixels",
        f"the network sees them at {chosen.image_side} x {chosen.image_side}",
    ]
    if max(height, width) > _LONG * side:
        parts.append("of each, only the middle square (crop them to what matters)")
    return RecipeChoice(chosen.name, "; ".join(parts))


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
