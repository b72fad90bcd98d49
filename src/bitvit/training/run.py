"""A whole training run: teacher, stage 1, stage 2, report. It can be killed at any moment and resumed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch import nn

from bitvit.checkpoints import load_checkpoint
from bitvit.data import DATA_NAMES, Data, files_digest
from bitvit.data.summary import summary_lines
from bitvit.data.target_set import TargetSet, absent_classes
from bitvit.files import hold_lock, write_atomically
from bitvit.program import Preprocessing
from bitvit.tasks import Classes, task_named
from bitvit.tasks.objective import Objective, ObjectivePlan
from bitvit.text import listed
from bitvit.training.data_fingerprint import data_fingerprint
from bitvit.training.errors import TrainingError
from bitvit.training.estimate import Estimate, estimate
from bitvit.training.evaluation import normalize
from bitvit.training.fit_context import computing_threads, kept_random_state, quiet_libraries
from bitvit.training.history import EpochRecord, draw_loss_curves, write_metrics
from bitvit.training.image_cache import ImageCache, sides_kept
from bitvit.training.learning import behind_its_teacher, nothing_learned
from bitvit.training.phase import Phase
from bitvit.training.phase_names import PhaseName
from bitvit.training.preflight import check_before_start
from bitvit.training.recipe import Recipe, Schedule, with_absolute_paths
from bitvit.training.report import PhaseResult, TrainingReport
from bitvit.training.run_data import data_of, teacher_data_of
from bitvit.training.run_folder import RunFolder
from bitvit.training.student import Student

__all__ = ["Run", "is_first_process", "train"]

_EXAMPLES = 6
_NAMES = 5


def _own_folder(recipe: Recipe) -> Path | None:
    """Return the user's folder of images, if they are in one."""
    choice = recipe.data
    folder = Path((choice.folder if choice.name in ("folder", "idx") else None) or choice.name)
    return folder if folder.is_dir() and choice.name not in DATA_NAMES[:-2] else None


def is_first_process() -> bool:
    """Return whether this process is the one of a distributed run that writes files and speaks to the user."""
    by_hand = "RANK" not in os.environ and int(os.environ.get("NODE_RANK") or 0)  # Lightning's way without a launcher
    return not (getattr(rank_zero_only, "rank", 0) or by_hand)


class Run:
    """One training run: its recipe, data, folder and history, and the phases that it goes through.

    Args:
        recipe: all that decides the result.
        out: the run's folder.
        data: the data set, if it is not the one that the recipe names.
        progress: show a progress bar on standard error.
        on_epoch: called with the figures of every epoch.
        note: called with each line that the user should read: warnings, and what was found out.
        estimates: whether time and memory are estimated before the run begins, which takes a few training steps.

    Raises:
        DataError, ModelError, CheckpointError: data or student cannot be had.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: str | Path,
        *,
        data: Data | None = None,
        progress: bool = False,
        on_epoch: Callable[[EpochRecord], None] | None = None,
        note: Callable[[str], None] = lambda line: None,
        estimates: bool = False,
    ) -> None:
        recipe = with_absolute_paths(recipe)
        self.recipe = recipe
        self.folder = RunFolder(Path(out).expanduser())
        self.data = data if data is not None else data_of(recipe)
        sees_more = recipe.needs_teacher and recipe.teacher.epochs > 0
        self.teacher_data = teacher_data_of(recipe, self.data) if sees_more else self.data
        """What the teacher is trained on and judged by: the same images, unless `teacher.data` gives it more."""
        self.images_folder = _own_folder(recipe)
        """The user's folder of images, if they are in one."""
        self.files = None if self.images_folder is None else files_digest(self.images_folder)
        """What tells the folder of images from others, wherever it lies; None if the images are of no folder."""
        self.task = task_named(recipe.task.name)
        self.classes = Classes(self.data.labels, self.data.colors)
        self.progress = progress
        self.on_epoch = on_epoch
        self.note = note
        self.estimates = estimates
        self.history: list[EpochRecord] = []
        """Records of all finished phases."""
        with kept_random_state():
            self.student = Student(recipe, self.data)
        self._cache: tuple[TargetSet, ImageCache] | None = None
        self.warnings: list[str] = []
        """What the user should know about the result; also in the report."""
        self._finished: dict[PhaseName, tuple[nn.Module, Preprocessing]] = {}

    @property
    def writes(self) -> bool:
        """Whether this process writes files; in a distributed run only one does."""
        return is_first_process()

    def data_for(self, phase: str) -> Data:
        """Return what a phase is trained on and judged by."""
        return self.teacher_data if phase == "teacher" else self.data

    def images_for(self, phase: PhaseName) -> ImageCache:
        """Return the training images of a phase, as augmentation takes them; those of one set are kept at a time."""
        images, runtime = self.data_for(phase).train, self.recipe.runtime
        if self._cache is None or self._cache[0] is not images:
            side = None if self.task.is_for_pixels else max(self.student.preprocessing.image_size)
            limit = (runtime.image_cache_mib << 20) // max(runtime.workers, 1)
            augmentation = self.recipe.augmentation
            sides = sides_kept(augmentation.scale, augmentation.ratio)
            self._cache = images, ImageCache(images, side, limit, sides)
        return self._cache[1]

    @property
    def phases(self) -> list[Phase]:
        """The phases that the recipe asks for, in order."""
        recipe = self.recipe
        wanted: list[tuple[PhaseName, Schedule]] = []
        if recipe.needs_teacher:
            wanted.append(("teacher", recipe.teacher))
        if recipe.stage1.epochs:
            wanted.append(("stage1", recipe.stage1))
        if recipe.stage2.epochs:
            wanted.append(("stage2", recipe.stage2))
        last = wanted[-1][0]
        return [Phase(self, name, schedule, name == last) for name, schedule in wanted]

    def objective(self, preprocessing: Preprocessing, *, distills: bool, images: TargetSet | None = None) -> Objective:
        """Return what a phase minimizes, on training images (by default the student's) prepared so."""
        recipe = self.recipe
        weights = None
        if recipe.data.balance == "weights":
            counts = np.maximum((self.data.train if images is None else images).class_counts(), 1)
            weights = (counts.sum() / (len(counts) * counts)).astype(np.float32)
        augmentation = recipe.augmentation
        if recipe.distills and not distills and not augmentation.mix_teacher:
            augmentation = replace(augmentation, mixup=0.0, cutmix=0.0)
        plan = ObjectivePlan(
            settings=recipe.task,
            augmentation=augmentation,
            distillation=recipe.distillation if distills else recipe.without_teacher.distillation,
            classes=self.classes,
            preprocessing=preprocessing,
            class_weights=weights,
        )
        return self.task.objective(plan)

    def warn(self, line: str) -> None:
        """Tell the user now, and in the report."""
        self.warnings.append(line)
        self.note(f"warning: {line}")

    def estimate(self) -> Estimate:
        """Return about how long the rest of the run takes, and how much memory."""
        return estimate(self)

    def check(self) -> None:
        """Refuse a run that is certain to fail later.

        Raises:
            BitvitError: for the first reason.
        """
        with quiet_libraries(), kept_random_state():
            check_before_start(self)

    def keep(self, phase: PhaseName, model: nn.Module, preprocessing: Preprocessing) -> None:
        """Remember the network of a finished phase for those that follow."""
        self._finished[phase] = model.to("cpu").float().eval(), preprocessing

    def finished_model(self, phase: PhaseName) -> tuple[nn.Module, Preprocessing]:
        """Return the network of a finished phase and how its images are prepared, from its file after a resumption.

        Raises:
            CheckpointError: the file cannot be read.
        """
        if phase not in self._finished:
            model, info = load_checkpoint(self.folder.checkpoint(phase, is_last=False))
            self._finished[phase] = model, info.preprocessing
        return self._finished[phase]

    def execute(self, resume: bool = False) -> TrainingReport:
        """Go through all phases, or through what is left of them.

        Raises:
            RecipeError, ModelError, CheckpointError, ImageError, TrainingError: something is wrong with what was asked
                for.
            OutputError: the folder cannot be written.
            TrainingInterrupted: the user stopped it (a KeyboardInterrupt); it can be resumed.
        """
        self.check()
        if not self.writes:
            return self._execute(resume)
        self.folder.check_owner(resume)
        with hold_lock(self.folder.lock) as is_ours:
            if not is_ours:
                raise TrainingError(f"{self.folder.path}: another process is training there; wait for it or stop it")
            return self._execute(resume)

    def _execute(self, resume: bool) -> TrainingReport:
        results: list[PhaseResult] = []
        with quiet_libraries(), kept_random_state(), computing_threads(self.recipe.runtime.threads):
            if self.writes:
                taught = self.teacher_data if self.teacher_data is not self.data else None
                self.folder.prepare(self.recipe, data_fingerprint(self.data, taught), resume)
                for line in summary_lines(self.data):
                    self.note(line)
                if taught is not None:
                    self.note(
                        f"the teacher is trained on {len(taught.train)} images, the student on {len(self.data.train)}"
                    )
                    for line in taught.notes:
                        self.note(f"note: {line}")
                if self.estimates and not all(phase.is_finished for phase in self.phases):
                    self.note(f"estimate: {self.estimate()}")
            for phase in self.phases:
                results.append(phase.execute())
                if self.writes:
                    self.history += self.folder.read_history(phase.name)
                for line in self._doubts(results):
                    self.warn(line)
        for warning in (*results[-1].evaluation.warnings(), *self._unjudged()):
            self.warn(warning)
        behind = behind_its_teacher(results, self.task)
        if behind is not None:
            self.note(f"note: {behind}")
        report = TrainingReport(
            folder=self.folder.path,
            recipe=self.recipe,
            phases=tuple(results),
            train_images=len(self.data.train),
            val_images=len(self.data.val),
            teacher_images=len(self.teacher_data.train)
            if results[0].phase == "teacher" and results[0].epochs
            else None,
            warnings=tuple(self.warnings),
        )
        if self.writes:
            self._write(report)
        return report

    def _doubts(self, results: list[PhaseResult]) -> list[str]:
        """Return what is wrong with the last of these phases, one line each."""
        first, last = results[0], results[-1]
        teachers = first.evaluation.doubt() if first.phase == "teacher" else None
        if teachers is not None and teachers.too_few and last is not first:
            learned = None  # which the first phase has said of all
        else:
            images = len(self.data_for(last.phase).train)
            losses = [record.train_loss for record in self.history if record.phase == last.phase]
            train_loss = losses[-1] if losses else None
            learned = nothing_learned(last, self.recipe, images, teachers is None, train_loss)
        return [line for line in (learned, last.warning()) if line is not None]

    def _unjudged(self) -> list[str]:
        """Return what cannot be known of classes that are not in the validation images, in at most one line."""
        absent = absent_classes(self.data.val)
        if not absent:
            return []
        return [f"no validation image is of class {listed(absent, _NAMES)}: how well it is recognized is unknown"]

    def _write(self, report: TrainingReport) -> None:
        if self.history:
            write_metrics(self.folder.metrics, self.history, [metric.key for metric in self.task.metrics])
            draw_loss_curves(self.folder.figure, self.history, self.task.metrics[0])
        pictures = self.task.figures(report.final.evaluation, self.classes) | self._example_figures(report)
        for name, picture in pictures.items():
            write_atomically(self.folder.path / name, picture)
        self.folder.write_report(report.to_dict())

    def _example_figures(self, report: TrainingReport) -> dict[str, bytes]:
        """Return the task's pictures of some validation images and the finished network's answers to them."""
        if not self.task.draws_examples:
            return {}
        model, info = load_checkpoint(report.final.checkpoint)
        count = min(_EXAMPLES, len(self.data.val))
        positions = [int(p) for p in np.linspace(0, len(self.data.val) - 1, count).round()]
        pixels = np.stack([self.data.val.pixels(position, info.preprocessing) for position in positions])
        with torch.inference_mode():
            output = model(normalize(torch.from_numpy(pixels), info.preprocessing)).float().numpy()
        photos = [self.data.val.image(position) for position in positions]
        targets = [self.data.val.target(position) for position in positions]
        return self.task.example_figures(photos, targets, output, self.classes)


def train(
    recipe: Recipe,
    out: str | Path,
    resume: bool = False,
    *,
    data: Data | None = None,
    progress: bool = False,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    note: Callable[[str], None] = lambda line: None,
    estimates: bool = False,
) -> TrainingReport:
    """Train a teacher and a binary student as the recipe says, into the folder `out`.

    Killed at any moment and called again with `resume=True`, it goes on after the last finished epoch and ends with the
    weights of an uninterrupted run: bit for bit on a CPU with the same number of threads.

    Args:
        recipe: see `Run`.
        out: a new or empty folder, or with `resume` that of the run to go on with (a finished run is only reported
            again).
        resume: go on with the run in `out`.
        data: see `Run`.
        progress: see `Run`.
        on_epoch: see `Run`.
        note: see `Run`.
        estimates: see `Run`.

    Returns:
        The figures of all phases, as stored in `report.json`.

    Raises:
        BitvitError: see `Run` and `Run.execute`.
        TrainingInterrupted: the user stopped it (a KeyboardInterrupt); it can be resumed.
    """
    run = Run(recipe, out, data=data, progress=progress, on_epoch=on_epoch, note=note, estimates=estimates)
    return run.execute(resume)
