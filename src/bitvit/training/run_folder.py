"""The folder of a run: what is where, and whether it may be written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bitvit.checkpoints import FINAL_FILE
from bitvit.data import DataError
from bitvit.errors import OutputError
from bitvit.files import read_regular_file, write_atomically
from bitvit.training.data_fingerprint import describe_changes
from bitvit.training.errors import RecipeError, TrainingError
from bitvit.training.history import EpochRecord
from bitvit.training.recipe import Recipe

__all__ = ["RunFolder"]

_MIB = 1 << 20


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's files, and the rules of starting and resuming.

    A phase is finished when its checkpoint is there; that file is written last and by renaming, so a crash at any
    moment leaves either the phase's last state or its checkpoint.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.yaml"

    @property
    def metrics(self) -> Path:
        """Figures of every epoch."""
        return self.path / "metrics.csv"

    @property
    def figure(self) -> Path:
        """Loss curves."""
        return self.path / "loss.png"

    @property
    def report(self) -> Path:
        """Figures of the finished run."""
        return self.path / "report.json"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's logs, one subfolder per phase."""
        return self.path / "tensorboard"

    def state(self, phase: str) -> Path:
        """The trainer's state of an unfinished phase."""
        return self.path / "state" / f"{phase}.ckpt"

    def history(self, phase: str) -> Path:
        """The records of a finished phase."""
        return self.path / "state" / f"{phase}.history.json"

    def checkpoint(self, phase: str, is_last: bool) -> Path:
        """The weights of a finished phase; the last phase's are the run's result."""
        return self.path / (FINAL_FILE if is_last else f"{phase}.safetensors")

    def result(self, phase: str) -> Path:
        """The figures of a finished phase."""
        return self.path / "state" / f"{phase}.result.json"

    @property
    def best(self) -> Path:
        """The weights of the last phase's best epoch by validation; `model.safetensors` holds those of its last."""
        return self.path / "model_best.safetensors"

    def average(self, phase: str, is_last: bool) -> Path:
        """The moving average of a finished phase's weights, where one is kept."""
        return self.path / ("model_ema.safetensors" if is_last else f"{phase}_ema.safetensors")

    @property
    def lock(self) -> Path:
        """Held by the process that trains here."""
        return self.path / ".lock"

    @property
    def data(self) -> Path:
        """What the images and labels were when the run began."""
        return self.path / "state" / "data.json"

    def check_owner(self, resume: bool) -> None:
        """Refuse a folder that holds something else, or a run that is not to be resumed. Nothing is written.

        Raises:
            OutputError: the folder cannot be read.
            TrainingError: it is not this run's.
        """
        if self.recipe.is_file():
            if not resume:
                raise TrainingError(
                    f"{self.path} already contains a run: continue it with --resume, or choose another folder"
                )
            return
        try:
            content = [entry for entry in self.path.iterdir() if not entry.name.startswith(".")]
        except FileNotFoundError:
            if self.path.is_symlink():
                raise OutputError(f"cannot write to {self.path}: it is a link that leads nowhere") from None
            return
        except OSError as error:
            raise OutputError(f"cannot write to {self.path}: {error.strerror}") from None
        if any(entry.name != "state" for entry in content):
            raise TrainingError(f"{self.path} is not empty and contains no run: choose another folder")

    def prepare(self, recipe: Recipe, data: Mapping[str, Any], resume: bool) -> None:
        """Make the folder, refuse to mix two runs in it, and leave the recipe there.

        Args:
            recipe: of the run.
            data: fingerprint of the data set.
            resume: go on with the run that the folder holds.

        Raises:
            OutputError: if the folder cannot be created or written.
            TrainingError: if it holds a run and `resume` is not asked for, or holds something else.
            RecipeError: if it is to be resumed with another recipe; the message names the keys. More epochs of the last
                phase are no other recipe, they extend the run; nor is another place of the same images.
            DataError: if images or labels have changed since; the message says what.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "state").mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {self.path}: {error.strerror}") from None
        write_atomically(self.path / "state" / ".probe", b"\0" * _MIB)
        (self.path / "state" / ".probe").unlink(missing_ok=True)
        self.check_owner(resume)
        if self.recipe.is_file():
            stored = Recipe.load(self.recipe)
            changed = stored.differences(recipe)
            if self.data.is_file():
                # The images may lie elsewhere now; whether they are the same is compared below.
                places = ("data.name", "data.folder", "teacher.data.name", "teacher.data.folder")
                changed = [key for key in changed if key not in places]
            if changed and not _extends(stored, recipe, changed):
                raise RecipeError(f"{self.path} cannot be resumed with another recipe; changed: {', '.join(changed)}")
            self._compare_data(data)
        for leftover in [*self.path.glob(".*.tmp"), *(self.path / "state").glob(".*.tmp")]:
            leftover.unlink(missing_ok=True)
        write_atomically(self.data, (json.dumps(data, indent=2) + "\n").encode())
        write_atomically(self.recipe, recipe.to_yaml().encode())

    def _compare_data(self, data: Mapping[str, Any]) -> None:
        if not self.data.is_file():
            return
        try:
            changes = describe_changes(json.loads(read_regular_file(self.data)), data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{self.data}: damaged ({error})") from None
        if changes:
            raise DataError(
                f"{self.path} cannot be resumed: the data set is not the one that it was begun with; changed: "
                f"{'; '.join(changes)}. Restore it, or start a new run in another folder"
            )

    def check_space(self, model: nn.Module) -> None:
        """Make sure that a phase's files will fit.

        They are weights and two moments, twice while one state replaces the other, and the weights as they are,
        averaged, and at their best.

        Raises:
            OutputError: if the disk is too full.
        """
        weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        free = shutil.disk_usage(self.path).free
        if free < 10 * weights + _MIB:
            raise OutputError(
                f"cannot write to {self.path}: {10 * weights / _MIB:.0f} MiB are needed, {free / _MIB:.0f} MiB are free"
            )

    def write_history(self, phase: str, records: Sequence[EpochRecord]) -> None:
        """Keep the records of a finished phase."""
        write_atomically(self.history(phase), json.dumps([record.to_dict() for record in records]).encode())

    def read_history(self, phase: str) -> list[EpochRecord]:
        """Return the records of a finished phase.

        Raises:
            TrainingError: it is damaged.
        """
        try:
            return [EpochRecord(**record) for record in json.loads(read_regular_file(self.history(phase)))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"{self.history(phase)}: damaged ({error})") from None

    def write_result(self, phase: str, content: dict[str, Any]) -> None:
        """Keep the figures of a finished phase."""
        write_atomically(self.result(phase), json.dumps(content).encode())

    def read_result(self, phase: str) -> dict[str, Any]:
        """Return the figures of a finished phase.

        Raises:
            TrainingError: it is damaged.
        """
        try:
            content: dict[str, Any] = json.loads(read_regular_file(self.result(phase)))
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.result(phase)}: damaged ({error})") from None
        return content

    def write_report(self, content: dict[str, Any]) -> None:
        """Write the figures of the finished run."""
        write_atomically(self.report, (json.dumps(content, indent=2) + "\n").encode())


def _extends(stored: Recipe, recipe: Recipe, changed: Sequence[str]) -> bool:
    """Return whether a recipe only adds epochs to the last phase."""
    last = "stage2" if stored.stage2.epochs else "stage1"
    before, after = getattr(stored, last).epochs, getattr(recipe, last).epochs
    return list(changed) == [f"{last}.epochs"] and after > before
