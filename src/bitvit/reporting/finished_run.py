"""What a report is made of: a finished run, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bitvit.checkpoints import CheckpointInfo, load_checkpoint
from bitvit.errors import UsageError
from bitvit.tasks import Classes, Evaluation, Task, task_named

__all__ = ["FinishedRun", "read_run"]


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: of the run.
        report: the content of its `report.json`.
        student: the trained network, in evaluation mode.
        info: what its checkpoint says.
    """

    folder: Path
    report: dict[str, Any]
    student: nn.Module
    info: CheckpointInfo

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def task(self) -> Task:
        """What the network is for."""
        return task_named(self.info.task)

    @property
    def classes(self) -> Classes:
        """What the network tells apart."""
        return Classes(self.info.labels, self.info.colors)

    @property
    def phases(self) -> list[dict[str, Any]]:
        """The phases, each as `PhaseResult.to_dict` wrote it."""
        return list(self.report["phases"])

    def evaluation(self, phase: dict[str, Any]) -> Evaluation:
        """Return the figures of a phase's checkpoint on the validation images."""
        return self.task.evaluation(phase["evaluation"])


def read_run(folder: Path) -> FinishedRun:
    """Read a finished run.

    Args:
        folder: of the run.

    Returns:
        The run with its network.

    Raises:
        CheckpointError: the folder holds no network.
        UsageError: the run is not finished, or its report cannot be read.
    """
    student, info = load_checkpoint(folder)
    path = folder / "report.json"
    if not path.is_file():
        raise UsageError(f"{folder}: has no report.json: finish it first (bitvit train --resume --out {folder})")
    try:
        report = json.loads(path.read_text("utf-8"))
        run = FinishedRun(folder, report, student.eval(), info)
        for phase in run.phases:
            run.evaluation(phase)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: is not the report of a run ({error})") from None
    return run
