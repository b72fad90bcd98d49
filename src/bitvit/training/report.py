"""The report of a finished run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch

import bitvit
from bitvit.tasks import Evaluation, Task
from bitvit.training.liveness import Liveness
from bitvit.training.recipe import Recipe
from bitvit.training.recipe_fingerprint import fingerprint

__all__ = ["BestEpoch", "PhaseResult", "TrainingReport"]


@dataclass(frozen=True)
class BestEpoch:
    """The epoch of a phase after which validation was best.

    Attributes:
        epoch: counted from 1.
        metric: key of the metric that decides, the task's first.
        value: of that metric.
        checkpoint: name of the file with the weights of that epoch.
    """

    epoch: int
    metric: str
    value: float
    checkpoint: str


@dataclass(frozen=True)
class PhaseResult:
    """One finished phase.

    Attributes:
        phase: "teacher", "stage1" or "stage2".
        model: name of the model trained.
        checkpoint: its file.
        epochs: epochs of training, resumptions included.
        seconds: seconds of training, likewise.
        evaluation: figures of the checkpoint on the validation images.
        average: those of the moving average of its weights, where one is kept.
        best: the best epoch of the last phase.
        liveness: what is alive of the network's quantizers; None where it has none.
    """

    phase: str
    model: str
    checkpoint: Path
    epochs: int
    seconds: float
    evaluation: Evaluation
    average: Evaluation | None = None
    best: BestEpoch | None = None
    liveness: Liveness | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], task: Task, checkpoint: Path) -> PhaseResult:
        """Return the result whose `to_dict` is `content`."""
        average, best = content["average"], content["best"]
        return cls(
            phase=content["phase"],
            model=content["model"],
            checkpoint=checkpoint,
            epochs=content["epochs"],
            seconds=content["seconds"],
            evaluation=task.evaluation(content["evaluation"]),
            average=None if average is None else task.evaluation(average),
            best=None if best is None else BestEpoch(**best),
            liveness=None if content.get("liveness") is None else Liveness.from_dict(content["liveness"]),
        )

    def warning(self) -> str | None:
        """Return one line about what died in the phase, or None."""
        return None if self.liveness is None else self.liveness.warning(self.phase)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "phase": self.phase,
            "model": self.model,
            "checkpoint": self.checkpoint.name,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "evaluation": self.evaluation.to_dict(),
            "is_above_guessing": self.evaluation.doubt() is None,
            "average": self.average.to_dict() if self.average is not None else None,
            "best": asdict(self.best) if self.best is not None else None,
            "liveness": self.liveness.to_dict() if self.liveness is not None else None,
        }


@dataclass(frozen=True)
class TrainingReport:
    """A finished run: its folder, and the result of each phase, the model's last."""

    folder: Path
    recipe: Recipe
    phases: tuple[PhaseResult, ...]
    train_images: int
    val_images: int
    teacher_images: int | None = None
    """Training images of a teacher that the run has trained."""
    warnings: tuple[str, ...] = ()

    @property
    def final(self) -> PhaseResult:
        """The result of the last phase, whose checkpoint is the run's model."""
        return self.phases[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `report.json`."""
        return {
            "recipe": self.recipe.name,
            "digest": fingerprint(self.recipe),
            "seed": self.recipe.seed,
            "task": self.recipe.task.name,
            "data": self.recipe.data.name,
            "train_images": self.train_images,
            "val_images": self.val_images,
            "teacher_images": self.teacher_images,
            "warnings": list(self.warnings),
            "phases": [phase.to_dict() for phase in self.phases],
            "versions": {"bitvit": bitvit.__version__, "torch": torch.__version__, "timm": timm.__version__},
            "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
        }
