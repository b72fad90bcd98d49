"""The phases of a run, in order: teacher, stage 1, stage 2, and the model that each starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from bitvit.checkpoints import (
    CheckpointError,
    CheckpointInfo,
    CheckpointStage,
    ModelError,
    ModelSpec,
    build_model,
    copy_all_but_heads,
    copy_weights,
    is_binary,
    load_checkpoint,
    load_timm_weights,
    preprocessing_for,
)
from bitvit.data import Data
from bitvit.layers import calibrate
from bitvit.models import set_stage
from bitvit.program import Preprocessing
from bitvit.training.errors import RecipeError
from bitvit.training.evaluation import normalize
from bitvit.training.phase_module import Teacher
from bitvit.training.recipe import Distillation, Recipe, Schedule
from bitvit.training.run_folder import RunFolder
from bitvit.training.seeding import derive_seed, seed_torch

__all__ = ["Phase", "PhaseName", "Start", "check_student", "plan", "prepare"]

PhaseName = Literal["teacher", "stage1", "stage2"]


@dataclass(frozen=True)
class Phase:
    """One phase: its name, schedule, and the file that it ends with."""

    name: PhaseName
    schedule: Schedule
    checkpoint: Path
    is_last: bool


@dataclass(frozen=True)
class Start:
    """What a phase starts with."""

    model: nn.Module
    spec: ModelSpec
    stage: CheckpointStage
    preprocessing: Preprocessing
    distillation: Distillation
    teacher: Teacher | None


def plan(recipe: Recipe, folder: RunFolder) -> list[Phase]:
    """Return the phases that the recipe asks for, in order. A teacher is there only if something is learned from it."""
    wanted: list[tuple[PhaseName, Schedule]] = []
    if recipe.distillation.kind != "none" or recipe.model.init == "teacher":
        wanted.append(("teacher", recipe.teacher))
    if recipe.stage1.epochs:
        wanted.append(("stage1", recipe.stage1))
    if recipe.stage2.epochs:
        wanted.append(("stage2", recipe.stage2))
    last = len(wanted) - 1
    return [
        Phase(name, schedule, folder.checkpoint(name, i == last), i == last)
        for i, (name, schedule) in enumerate(wanted)
    ]


def prepare(phase: Phase, recipe: Recipe, data: Data, folder: RunFolder) -> Start:
    """Build the model that a phase starts from.

    All of it follows from the recipe, the data and the files of finished phases, so a phase that is started anew starts
    alike.

    Raises:
        RecipeError, CheckpointError: if a model or a file does not fit.
    """
    if phase.name == "teacher":
        return _prepare_teacher(recipe, data)
    return _prepare_stage(phase, recipe, data, folder)


def check_student(recipe: Recipe, data: Data) -> None:
    """Find out before the teacher trains whether the student can be built.

    Raises:
        RecipeError, CheckpointError: it cannot.
    """
    spec, _ = _student_spec(recipe, data)
    try:
        with torch.device("meta"):
            model = build_model(spec)
    except ModelError:
        model = build_model(spec)  # a constructor may need real values; what is wrong beyond that fails again
    if recipe.stage1.epochs and not is_binary(model):
        raise RecipeError(
            f"stage1.epochs: '{spec.name}' has no binary weights, so stage 1 has no meaning; set stage1.epochs=0"
        )


def _student_spec(recipe: Recipe, data: Data) -> tuple[ModelSpec, tuple[nn.Module, CheckpointInfo] | None]:
    """Return what the student is, and the checkpoint that it goes on from, if the recipe names one."""
    choice = recipe.model
    if choice.weights is None:
        return ModelSpec(choice.name, len(data.labels), choice.image_size, choice.scheme, dict(choice.kwargs)), None
    given = load_checkpoint(choice.weights)
    return replace(given[1].model, num_classes=len(data.labels)), given


def _prepare_teacher(recipe: Recipe, data: Data) -> Start:
    n_classes = len(data.labels)
    choice = recipe.teacher
    spec = ModelSpec(choice.model, n_classes, recipe.model.image_size, None, dict(choice.kwargs))
    seed_torch(recipe.seed, "teacher", "weights")
    model: nn.Module
    if choice.weights is None:
        model = build_model(spec)
    else:
        path = Path(choice.weights).expanduser()
        if path.is_dir():
            path = (
                path / "teacher.safetensors" if (path / "teacher.safetensors").is_file() else path / "model.safetensors"
            )
        if not path.is_file():
            raise CheckpointError(f"teacher.weights: {choice.weights}: no such file or run folder")
        try:
            model, info = load_checkpoint(path)
        except CheckpointError as error:
            if "not a checkpoint of bitvit" not in str(error):
                raise
            model = build_model(spec)
            load_timm_weights(model, path)
            if choice.epochs == 0 and not _has_head_for(path, model):
                raise RecipeError(
                    f"teacher.weights: {path} has no head for the {n_classes} classes of this data set: "
                    "fine-tune it with teacher.epochs"
                ) from None
        else:
            if info.labels != data.labels:
                raise CheckpointError(
                    f"teacher.weights: {path} was trained for other classes than those of data set '{data.name}'"
                )
            spec = info.model
    model.train()
    return Start(
        model,
        spec,
        "float",
        preprocessing_for(model, recipe.data.crop_fraction, recipe.data.interpolation),
        replace(recipe.distillation, kind="none"),
        None,
    )


def _has_head_for(path: Path, model: nn.Module) -> bool:
    from safetensors import safe_open

    own = model.state_dict()
    name = next((n for n in ("head.weight", "fc.weight", "classifier.weight") if n in own), None)
    with safe_open(str(path), framework="pt") as file:
        return name is not None and name in file.keys() and list(own[name].shape) == file.get_slice(name).get_shape()  # noqa: SIM118


def _prepare_stage(phase: Phase, recipe: Recipe, data: Data, folder: RunFolder) -> Start:
    choice = recipe.model
    spec, given = _student_spec(recipe, data)
    distills = recipe.distillation.kind != "none"
    teacher: tuple[nn.Module, Preprocessing] | None = None
    if distills or choice.init == "teacher":
        teacher_model, teacher_info = load_checkpoint(folder.checkpoint("teacher", is_last=False))
        teacher = teacher_model, teacher_info.preprocessing
    seed_torch(recipe.seed, "student", "weights")
    model = build_model(spec)
    if phase.name == "stage2" and recipe.stage1.epochs:
        stage1, _ = load_checkpoint(folder.checkpoint("stage1", is_last=False))
        model.load_state_dict(stage1.state_dict())
    elif given is not None:
        copy_all_but_heads(given[0], model)
    elif choice.init == "teacher" and teacher is not None:
        copy_weights(teacher[0], model)
    preprocessing = preprocessing_for(model, recipe.data.crop_fraction, recipe.data.interpolation)
    if given is not None:
        preprocessing = replace(preprocessing, mean=given[1].preprocessing.mean, std=given[1].preprocessing.std)
    stage: CheckpointStage = "float"
    if is_binary(model):
        stage = "weights" if phase.name == "stage1" else "full"
        set_stage(model, stage)
        is_calibrated = given is not None and given[1].stage == "full" and not recipe.stage1.epochs
        if stage == "full" and not is_calibrated:
            calibrate(model, _calibration_images(recipe, data, preprocessing))
    model.train()
    frozen = Teacher(*teacher, preprocessing) if teacher is not None and distills else None
    return Start(model, spec, stage, preprocessing, recipe.distillation, frozen)


def _calibration_images(recipe: Recipe, data: Data, preprocessing: Preprocessing) -> torch.Tensor:
    """Return some training images, without augmentation, normalized: float32 `[B,3,H,W]`."""
    rng = np.random.Generator(np.random.PCG64(derive_seed(recipe.seed, "calibration")))
    positions = rng.permutation(len(data.train))[: recipe.calibration.images]
    images = np.stack([data.train.pixels(int(position), preprocessing) for position in positions])
    return normalize(torch.from_numpy(images), preprocessing)
