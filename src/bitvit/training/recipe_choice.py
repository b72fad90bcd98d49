"""Which packaged recipe suits a data set."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from PIL import Image

from bitvit.data import Data
from bitvit.data.target_set import TargetSet
from bitvit.errors import ImageError
from bitvit.tasks import DefaultRecipe, task_named
from bitvit.training.recipe import Recipe

__all__ = ["RecipeChoice", "choose_recipe"]

_LOOKED_AT = 100
_LONG = 2
"""Sides' ratio from which on the middle square is less than half of an image."""


@dataclass(frozen=True)
class RecipeChoice:
    """A packaged recipe for certain images.

    Attributes:
        name: of the recipe.
        changes: values that replace the recipe's, `section.key=value`.
        reason: one line.
    """

    name: str
    changes: tuple[str, ...]
    reason: str


def choose_recipe(data: Data, *, settled: Collection[str] = (), has_gpu: bool | None = None) -> RecipeChoice:
    """Return the first of the task's recipes that suits the images' size and number.

    Sizes are those of some training images; most files say theirs without being decoded. A network that begins from
    scratch needs some thousand updates, however few images there are, so with fewer images than a recipe's schedule is
    made for, its epochs grow in proportion.

    Args:
        data: with the training images.
        settled: keys (`section.key`) that somebody has chosen a value for, and that are left alone.
        has_gpu: whether training has a GPU; by default what PyTorch finds.
    """
    if has_gpu is None:
        has_gpu = torch.cuda.is_available()
    height, width = _median_size(data.train)
    side, count = min(height, width), len(data.train)
    suiting = [entry for entry in task_named(data.task).recipes if _suits(entry, side, count)]
    chosen = next(entry for entry in suiting if has_gpu or not entry.needs_gpu)
    parts = [
        f"{count} training images, mostly about {width} x {height} pixels",
        f"the network sees them at {chosen.image_side} x {chosen.image_side}",
    ]
    if max(height, width) > _LONG * side:
        parts.append("of each, only the middle square (crop them to what matters)")
    if suiting[0] is not chosen:
        parts.append(f"with a GPU {suiting[0].name} would be chosen")
    changes: tuple[str, ...] = ()
    if count < chosen.scheduled_images:
        changes = _for_few(Recipe.load(chosen.name), count, chosen.scheduled_images / count, settled)
    if changes:
        parts.append(f"{', '.join(changes)}, because the images are few")
    return RecipeChoice(chosen.name, changes, "; ".join(parts))


def _suits(entry: DefaultRecipe, side: int, count: int) -> bool:
    return (entry.largest_side is None or side <= entry.largest_side) and count >= entry.least_images


def _for_few(recipe: Recipe, images: int, times: float, settled: Collection[str]) -> tuple[str, ...]:
    epochs = {f"{name}.epochs": getattr(recipe, name).epochs for name in ("teacher", "stage1", "stage2")}
    epochs["validation.every_epochs"] = recipe.validation.every_epochs
    changes = [f"{key}={ceil(count * times)}" for key, count in epochs.items() if count]
    if images < recipe.batch_size:
        changes.append(f"batch_size={max(images // 2 * 2, 1)}")
    return tuple(change for change in changes if change.partition("=")[0] not in settled)


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
