"""The full-precision teacher: its output for a student's images, and the source of its weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bitvit.checkpoints import (
    FINAL_FILE,
    CheckpointError,
    ModelSpec,
    build_model,
    build_pretrained,
    is_checkpoint,
    load_checkpoint,
    load_pretrained,
    read_info,
    registered_image_size,
)
from bitvit.program import Preprocessing
from bitvit.training.errors import RecipeError
from bitvit.training.recipe import Recipe

__all__ = ["TEACHER_FILE", "Teacher", "build_teacher", "teacher_spec"]

TEACHER_FILE = "teacher.safetensors"
"""The teacher's checkpoint in a run folder."""


class Teacher:
    """A frozen model that sees the student's images under its own normalization.

    Deliberately no module, so that it is no part of checkpoints.
    """

    def __init__(self, model: nn.Module, own: Preprocessing, student: Preprocessing) -> None:
        if own.image_size != student.image_size:
            raise RecipeError(
                f"teacher.model: takes images of {own.image_size[0]} x {own.image_size[1]}, the student of "
                f"{student.image_size[0]} x {student.image_size[1]}: choose models of one image size, or set "
                "model.image_size"
            )
        self._model = model.eval().requires_grad_(False)
        self._dtype = next(model.parameters()).dtype
        self._scale: Tensor | None = None
        if (own.mean, own.std) != (student.mean, student.std):
            mean, std = torch.tensor(own.mean), torch.tensor(own.std)
            self._scale = (torch.tensor(student.std) / std).view(-1, 1, 1)
            self._offset = ((torch.tensor(student.mean) - mean) / std).view(-1, 1, 1)

    @property
    def model(self) -> nn.Module:
        """The frozen model."""
        return self._model

    def to(self, device: torch.device) -> None:
        """Move the teacher to a device."""
        self._model.to(device)
        if self._scale is not None:
            self._scale, self._offset = self._scale.to(device), self._offset.to(device)

    @torch.no_grad()
    def output(self, images: Tensor) -> Tensor:
        """Return the teacher's output, float32, for images normalized for the student `[B,C,H,W]`."""
        images = images.to(self._dtype)
        if self._scale is not None:
            images = images * self._scale + self._offset
        output: Tensor = self._model(images)
        return output.float()


def _weights_file(recipe: Recipe) -> Path | None:
    """Return the file that the teacher is loaded from, if the recipe names one."""
    given = recipe.teacher.weights
    if given is None:
        return None
    path = Path(given).expanduser()
    if path.is_dir():
        path = path / TEACHER_FILE if (path / TEACHER_FILE).is_file() else path / FINAL_FILE
        if not path.is_file():
            raise CheckpointError(
                f"teacher.weights: {given}: holds neither {TEACHER_FILE} nor {FINAL_FILE}: no training has ended there"
            )
    if not path.is_file():
        raise CheckpointError(f"teacher.weights: {given}: no such file or run folder")
    return path


def teacher_spec(recipe: Recipe, labels: tuple[str, ...]) -> ModelSpec:
    """Return what the teacher is, from the recipe or its checkpoint.

    Raises:
        CheckpointError: it cannot be read, or tells other classes apart.
    """
    path = _weights_file(recipe)
    if path is not None and is_checkpoint(path):
        info = read_info(path)
        if info.task != recipe.task.name:
            raise CheckpointError(f"teacher.weights: {path} was trained for {info.task}, not for {recipe.task.name}")
        _compare_labels(path, info.labels, labels)
        return info.model
    choice, image_size = recipe.teacher, recipe.model.image_size
    if choice.pretrained and image_size is None:  # it was trained on larger images than the student takes, mostly
        image_size = registered_image_size(recipe.model.name)
    return ModelSpec(choice.model, len(labels), image_size, None, recipe.data.model_kwargs(choice.kwargs))


def _compare_labels(path: Path, own: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    if own == wanted:
        return
    if sorted(own) == sorted(wanted):
        mine, theirs = next((a, b) for a, b in zip(own, wanted, strict=True) if a != b)
        raise CheckpointError(
            f"teacher.weights: {path} has the same classes in another order ({mine!r} where the data set has "
            f"{theirs!r}); it would teach wrong classes"
        )
    unknown = sorted(set(own) ^ set(wanted))[0]
    raise CheckpointError(
        f"teacher.weights: {path} was trained for other classes than those of the data set ({len(own)} and "
        f"{len(wanted)}; {unknown!r} is only in one of them)"
    )


def build_teacher(recipe: Recipe, labels: tuple[str, ...]) -> tuple[nn.Module, ModelSpec]:
    """Return the teacher that a run starts with: initial weights, or those of a file.

    Raises:
        RecipeError, ModelError, CheckpointError: a model or a file does not fit.
    """
    spec = teacher_spec(recipe, labels)
    path = _weights_file(recipe)
    if recipe.teacher.pretrained:
        model, has_head = build_pretrained(spec)
        if recipe.teacher.epochs == 0 and not has_head:
            raise RecipeError(
                f"teacher.pretrained: {spec.name} has no head for the {len(labels)} classes of this data set: "
                "fine-tune it with teacher.epochs"
            )
        return model, spec
    if path is None:
        return build_model(spec), spec
    if is_checkpoint(path):
        model, _ = load_checkpoint(path)
        return model, spec
    model = build_model(spec)
    has_head = load_pretrained(model, path)
    if recipe.teacher.epochs == 0 and not has_head:
        raise RecipeError(
            f"teacher.weights: {path} has no head for the {len(labels)} classes of this data set: "
            "fine-tune it with teacher.epochs"
        )
    return model, spec
