"""From a study to its runs: one recipe, one name and one digest each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, TypeVar

from bitvit.studies.errors import StudyError
from bitvit.studies.study import Row, Study
from bitvit.tasks import Distillation
from bitvit.training.errors import RecipeError
from bitvit.training.recipe import ModelChoice, Recipe, Schedule, TeacherSchedule
from bitvit.training.recipe_fingerprint import fingerprint

__all__ = ["PlannedRun", "plan_study", "teacher_recipe"]

ScheduleT = TypeVar("ScheduleT", bound=Schedule)


def run_folder_name(run: str, seed: int, digest: str) -> str:
    """Return the name of a run's folder within its study's."""
    return f"{run}-seed{seed}-{digest[:8]}".replace("/", "_")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        row: the row of the table.
        point: the value on each axis, by name.
        seed: random seed of the whole run.
        recipe: what is trained; a shared teacher is still to be filled in.
        teacher: recipe of the shared teacher, or None where nothing is learned from one.
        digest: fingerprint of all that decides the result, the teacher's training included.
    """

    row: Row
    point: dict[str, Any]
    seed: int
    recipe: Recipe
    teacher: Recipe | None
    digest: str

    @property
    def name(self) -> str:
        """Row and point: what seeds are averaged over."""
        return "-".join([self.row.name, *(f"{axis}_{value}" for axis, value in self.point.items())])

    @property
    def folder(self) -> str:
        """Name of the run's folder; with the digest, so that a changed study never meets an older run."""
        return run_folder_name(self.name, self.seed, self.digest)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.name}, seed {self.seed}"


def plan_study(study: Study, seeds: Iterable[int] | None = None, only: Sequence[str] = ()) -> list[PlannedRun]:
    """Return the runs of a study, all rows of the first seed first.

    Args:
        study: what is planned.
        seeds: these instead of the study's.
        only: patterns (`gsb*`) of rows, or of rows with their point; all others are left out.

    Raises:
        StudyError: if a recipe is not valid, or a pattern matches no row.
    """
    runs = [
        _run(study, row, dict(zip((axis.name for axis in study.axes), values, strict=True)), seed)
        for seed in (range(study.seeds) if seeds is None else seeds)
        for row in study.rows
        for values in product(*(axis.values for axis in study.axes))
    ]
    for pattern in only:
        if not any(_fits(run, pattern) for run in runs):
            known = ", ".join(row.name for row in study.rows)
            raise StudyError(f"--only {pattern}: the study {study.name} has no such row; it has {known}")
    return [run for run in runs if not only or any(_fits(run, pattern) for pattern in only)]


def _fits(run: PlannedRun, pattern: str) -> bool:
    return fnmatchcase(run.row.name, pattern) or fnmatchcase(run.name, pattern)


def _run(study: Study, row: Row, point: dict[str, Any], seed: int) -> PlannedRun:
    teacher_section = {f"teacher.{key}": value for key, value in study.teacher.items()}
    points = [axis.changes(point[axis.name]) for axis in study.axes]
    overrides: dict[str, Any] = {}
    for changes in (study.overrides, teacher_section, row.overrides, *points, study.final, {"seed": seed}):
        for key, value in changes.items():
            overrides.pop(key, None)  # what comes later is applied later
            overrides[key] = value
    try:
        recipe = Recipe.load(row.recipe or study.recipe, overrides)
    except RecipeError as error:
        where = "-".join([row.name, *(f"{name}_{value}" for name, value in point.items())])
        raise StudyError(f"study {study.name}, {where}: {error}") from None
    stretch = math.prod(axis.stretch.get(str(point[axis.name]), 1) for axis in study.axes)
    recipe = _with_epochs(recipe, lambda epochs: max(1, round(epochs * stretch)))
    if study.max_epochs is not None:
        limit = study.max_epochs
        recipe = _with_epochs(recipe, lambda epochs: min(epochs, limit))
    is_shared = recipe.needs_teacher and recipe.teacher.weights is None and not recipe.teacher.pretrained
    teacher = teacher_recipe(recipe) if is_shared else None
    digest = fingerprint(_settled(recipe, None if teacher is None else f"teacher {fingerprint(teacher)}"))
    return PlannedRun(row, point, seed, recipe, teacher, digest)


def _settled(recipe: Recipe, shared_teacher: str | None) -> Recipe:
    """Return the recipe without what has no influence: a teacher's schedule where it is shared or not used."""
    if shared_teacher is None and recipe.needs_teacher:
        return recipe
    return replace(recipe, teacher=TeacherSchedule(weights=shared_teacher))


def _with_epochs(recipe: Recipe, change: Callable[[int], int]) -> Recipe:
    """Change the epochs of every phase that has some; the share of warm-up stays below."""

    def changed(schedule: ScheduleT) -> ScheduleT:
        if not schedule.epochs:
            return schedule
        epochs = change(schedule.epochs)
        return replace(schedule, epochs=epochs, warmup_epochs=min(schedule.warmup_epochs, epochs / 10))

    if all(change(s.epochs) == s.epochs for s in (recipe.teacher, recipe.stage1, recipe.stage2) if s.epochs):
        return recipe
    return replace(
        recipe, teacher=changed(recipe.teacher), stage1=changed(recipe.stage1), stage2=changed(recipe.stage2)
    )


def teacher_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe that trains a run's teacher by itself, as a full-precision network on the same images.

    It depends on what the teacher sees and how it learns, and not on the student, so that students can share it.
    """
    own = recipe.teacher
    schedule = {entry.name: getattr(own, entry.name) for entry in fields(Schedule)}
    return Recipe(
        name="teacher",
        seed=recipe.seed,
        batch_size=recipe.batch_size,
        least_steps=recipe.least_steps,
        precision=recipe.precision,
        task=recipe.task,
        data=recipe.data,
        augmentation=recipe.augmentation,
        model=ModelChoice(own.model, recipe.model.image_size, kwargs=dict(own.kwargs)),
        teacher=TeacherSchedule(data=own.data),  # which images it sees
        distillation=Distillation(kind="none"),
        stage2=Schedule(**schedule),
        validation=recipe.validation,
        runtime=recipe.runtime,
    )
