"""Everything that can be known to fail is found before the first phase begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitvit.models.semantic_fpn import SegmentationNetwork
from bitvit.training.errors import RecipeError

if TYPE_CHECKING:
    from bitvit.training.run import Run

__all__ = ["check_before_start"]


def check_before_start(run: Run) -> None:
    """Refuse a run that is certain to fail later.

    Raises:
        RecipeError: for the first reason; the message names the key.
    """
    recipe, data = run.recipe, run.data
    if data.task != recipe.task.name:
        raise RecipeError(f"task.name: is {recipe.task.name}, but data set '{data.name}' is for {data.task}")
    is_for_pixels = isinstance(run.student.model, SegmentationNetwork)
    if is_for_pixels != (recipe.task.name == "segmentation"):
        meant = "segmentation" if is_for_pixels else "classification"
        hint = "; `bitvit models '*fpn*'` lists those for segmentation" if not is_for_pixels else ""
        raise RecipeError(f"model.name: {run.student.spec.name} is for {meant}, the task is {recipe.task.name}{hint}")
    if recipe.task.name == "segmentation" and recipe.data.balance == "sampling":
        raise RecipeError("data.balance: images of several classes cannot be sampled by class; use weights")
    channels, wanted = data.train.decoding.channels, run.student.preprocessing.channels
    if channels != wanted:
        raise RecipeError(
            f"data.channels: images are read with {channels} channels, the network takes {wanted}: "
            f"set data.channels={wanted}"
        )
    if channels == 4:
        for key in ("color_jitter", "auto_augment"):
            if getattr(recipe.augmentation, key, None):
                raise RecipeError(f"augmentation.{key}: is for grey and RGB images, not for 4 channels; switch it off")
    if recipe.batch_size > len(data.train):
        raise RecipeError(
            f"batch_size: {recipe.batch_size} is more than the {len(data.train)} training images; "
            f"set batch_size={len(data.train) // 2 * 2 or 1}"
        )
    objective = run.objective(run.student.preprocessing, distills=recipe.distills)
    if objective.needs_even_batches and recipe.batch_size % 2:
        raise RecipeError("batch_size: must be even, as mixup and cutmix pair the images of a batch")
    if recipe.stage1.epochs and not run.student.is_binary:
        raise RecipeError(
            f"stage1.epochs: '{run.student.spec.name}' has no binary weights, so stage 1 has no meaning; "
            "set stage1.epochs=0"
        )
