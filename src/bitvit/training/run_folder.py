"""The folder of a run: what lies where, and whether it may be written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bitvit.checkpoints import FINAL_FILE
from bitvit.errors import OutputError
from bitvit.files import write_atomically
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
        """TensorBoard's logs, one subfolder a phase."""
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

    def prepare(self, recipe: Recipe, resume: bool) -> None:
        """Make the folder, refuse to mix two runs in it, and leave the recipe there.

        Raises:
            OutputError: if the folder cannot be made or written.
            TrainingError: if it holds a run and `resume` is not asked for, or holds something else.
            RecipeError: if it is to be resumed with another recipe; the message names the keys.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            content = [entry for entry in self.path.iterdir() if not entry.name.startswith(".")]
            (self.path / "state").mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {self.path}: {error.strerror}") from None
        write_atomically(self.path / "state" / ".probe", b"\0" * _MIB)
        (self.path / "state" / ".probe").unlink(missing_ok=True)
        if self.recipe.is_file():
            if not resume:
                raise TrainingError(
                    f"{self.path} already holds a run: continue it with --resume, or choose another folder"
                )
            changed = Recipe.load(self.recipe).differences(recipe)
            if changed:
                raise RecipeError(f"{self.path} cannot be resumed with another recipe; changed: {', '.join(changed)}")
        elif any(entry.name != "state" for entry in content):
            raise TrainingError(f"{self.path} is not empty and holds no run: choose another folder")
        for leftover in [*self.path.glob(".*.tmp"), *(self.path / "state").glob(".*.tmp")]:
            leftover.unlink(missing_ok=True)
        write_atomically(self.recipe, recipe.to_yaml().encode())

    def check_space(self, model: nn.Module) -> None:
        """Make sure that a phase's files will fit: weights and two moments, twice while one state replaces the other,
        and the weights as they are, averaged, and at their best.

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
        """Return the records of a finished phase."""
        try:
            return [EpochRecord(**record) for record in json.loads(self.history(phase).read_text())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(f"{self.history(phase)}: damaged ({error})") from None

    def write_result(self, phase: str, content: dict[str, Any]) -> None:
        """Keep the figures of a finished phase."""
        write_atomically(self.result(phase), json.dumps(content).encode())

    def read_result(self, phase: str) -> dict[str, Any]:
        """Return the figures of a finished phase."""
        try:
            content: dict[str, Any] = json.loads(self.result(phase).read_text())
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.result(phase)}: damaged ({error})") from None
        return content

    def write_report(self, content: dict[str, Any]) -> None:
        """Write the figures of the finished run."""
        write_atomically(self.report, (json.dumps(content, indent=2) + "\n").encode())
