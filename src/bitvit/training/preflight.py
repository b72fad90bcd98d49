"""Checks before the first phase: what is certain to fail later is refused."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from bitvit.checkpoints import ModelError, ModelSpec, build_model, check_same_shapes, preprocessing_for
from bitvit.data import DataError
from bitvit.errors import BitvitError
from bitvit.export import build_program, pack
from bitvit.layers import calibrate, is_comparison_only
from bitvit.models import set_stage
from bitvit.models.output_kind import is_for_pixels
from bitvit.program import BitvitFile, to_bytes
from bitvit.training.distribution_guidance import paired_layers
from bitvit.training.errors import RecipeError, TrainingError
from bitvit.training.optimization import create_optimizer
from bitvit.training.seeding import isolated_randomness
from bitvit.training.teacher import Teacher, build_teacher, teacher_spec

if TYPE_CHECKING:
    from bitvit.training.run import Run

__all__ = ["check_before_start"]


def check_before_start(run: Run) -> None:
    """Refuse a run that is certain to fail later: in an hour, or when its model is exported.

    Raises:
        RecipeError, ModelError, DataError, CheckpointError, TrainingError: for the first reason; the message says what
            to change.
    """
    recipe, data = run.recipe, run.data
    if data.task != recipe.task.name:
        raise RecipeError(f"task.name: is {recipe.task.name}, but data set '{data.name}' is for {data.task}")
    _check_labels(data.labels)
    _check_place(run)
    answers_pixels = is_for_pixels(run.student.model)
    if answers_pixels != run.task.is_for_pixels:
        what = ("one answer per image", "one answer per pixel")
        hint = "" if answers_pixels else "; `bitvit models '*fpn*'` lists networks that answer per pixel"
        raise RecipeError(
            f"model.name: {run.student.spec.name} gives {what[answers_pixels]}, but the task {run.task.name} needs "
            f"{what[run.task.is_for_pixels]}{hint}"
        )
    if run.task.is_for_pixels and recipe.data.balance == "sampling":
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
    fewest = min(len(data.train), len(run.teacher_data.train))
    if recipe.batch_size > fewest and not recipe.least_steps:
        raise RecipeError(
            f"batch_size: {recipe.batch_size} is more than the {fewest} training images; "
            f"set batch_size={fewest // 2 * 2 or 1}"
        )
    _check_objective(run)
    for phase in run.phases:
        if phase.schedule.epochs:
            create_optimizer(nn.Linear(1, 1), phase.name, phase.schedule, recipe.precision)
    if recipe.stage1.epochs and not run.student.is_binary:
        raise RecipeError(
            f"stage1.epochs: '{run.student.spec.name}' has no binary weights, so stage 1 has no meaning; "
            "set stage1.epochs=0"
        )
    if recipe.needs_teacher:
        _check_teacher(run)
        given = recipe.teacher.pretrained or recipe.teacher.weights is not None
        if given and not run.phases[0].is_finished:
            build_teacher(recipe, run.classes.labels)  # which cannot be had without its weights
    if run.student.is_binary and recipe.stage2.epochs and not is_comparison_only(run.student.model):
        _export_trial(run)


def _check_place(run: Run) -> None:
    """Refuse a run among its own images: its pictures would be those of a class from then on."""
    images, out = run.images_folder, run.folder.path
    if images is None:
        return
    inner, outer = Path(os.path.realpath(out)), Path(os.path.realpath(images))  # a loop of links is no error here
    if outer in inner.parents:
        raise TrainingError(
            f"{out}: lies in the folder of the images ({images}), so its pictures would be taken for a class: choose "
            "a folder outside of it"
        )


def _check_labels(labels: tuple[str, ...]) -> None:
    for label in labels:
        try:
            label.encode()
        except UnicodeEncodeError:
            shown = label.encode(errors="backslashreplace").decode()
            raise DataError(f"class name '{shown}' is not valid UTF-8: rename its folder") from None


def _check_objective(run: Run) -> None:
    """Build the objective and change one image, as timm finds some wrong policies only then."""
    with isolated_randomness("trial"):
        try:
            objective = run.objective(run.student.preprocessing, distills=run.recipe.distills)
            objective.augment(run.data.train.image(0), run.data.train.target(0))
        except BitvitError:
            raise
        except (AssertionError, ValueError, KeyError, TypeError, IndexError, NotImplementedError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            policy = run.recipe.augmentation.auto_augment
            key = "augmentation" if policy is None else f"augmentation.auto_augment: '{policy}'"
            raise RecipeError(f"{key}: cannot be applied ({reason})") from None
    if objective.needs_even_batches and run.recipe.batch_size % 2:
        raise RecipeError("batch_size: must be even, as mixup and cutmix pair the images of a batch")


def _built_without_values(spec: ModelSpec) -> nn.Module:
    try:
        with torch.device("meta"):
            return build_model(spec)
    except ModelError:
        return build_model(spec)  # a constructor may need real values; what is wrong beyond that fails again


def _check_teacher(run: Run) -> None:
    recipe, student = run.recipe, run.student
    teacher = _built_without_values(teacher_spec(recipe, run.classes.labels))
    if recipe.model.init == "teacher":
        check_same_shapes(teacher, student.model)
    if recipe.distills:
        own = preprocessing_for(teacher, recipe.data.crop_fraction, recipe.data.interpolation)
        Teacher(teacher, own, student.preprocessing)
    if recipe.distillation.distribution > 0:
        paired_layers(student.model, teacher)


def _export_trial(run: Run) -> None:
    """Export the untrained student, to nowhere."""
    model = copy.deepcopy(run.student.model)
    set_stage(model, "full")
    preprocessing = run.student.preprocessing
    height, width = preprocessing.image_size
    key = repr((run.student.spec, preprocessing, run.classes.labels))
    if key in _exportable:
        return
    generator = torch.Generator().manual_seed(0)
    calibrate(model, torch.randn((2, len(preprocessing.mean), height, width), generator=generator))
    config = getattr(model, "pretrained_cfg", None) or {}
    vars(model)["pretrained_cfg"] = {**config, "mean": preprocessing.mean, "std": preprocessing.std}
    try:
        program, tensors = build_program(pack(model.eval()))
        colors = None if run.classes.colors is None else list(run.classes.colors)
        labels = list(run.classes.labels)
        if run.task.is_in_format:
            to_bytes(BitvitFile(program, tensors, preprocessing, labels, {}, run.task.name, colors))
    except BitvitError as error:
        raise RecipeError(
            f"model: '{run.student.spec.name}' at {height} x {width} cannot be exported to a .bitvit file: {error}"
        ) from None
    _exportable.add(key)


_exportable: set[str] = set()
"""Students whose export has been tried in this process."""
