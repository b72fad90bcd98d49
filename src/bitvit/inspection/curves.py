"""Loss curves of one or several runs (GSB Fig. 11), from their `metrics.csv`."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from bitvit.errors import UsageError
from bitvit.files import read_regular_file
from bitvit.tasks import task_named, task_names
from bitvit.training.phase_names import PHASE_TITLES


@dataclass(frozen=True)
class Curve:
    """One phase of one run: epochs with training loss, and those with test loss.

    `score` is the last value of the task's first metric, whose key is `metric`.
    """

    phase: str
    epochs: tuple[int, ...]
    train: tuple[float, ...]
    test_epochs: tuple[int, ...]
    test: tuple[float, ...]
    metric: str | None
    score: float | None

    @property
    def metric_title(self) -> str:
        """The metric's name in tables and figures."""
        known = (metric for name in task_names() for metric in task_named(name).metrics)
        return next((metric.title for metric in known if metric.key == self.metric), str(self.metric))


def read_curves(folder: Path) -> list[Curve]:
    """Return the phases of a run, finished or not.

    Raises:
        UsageError: the folder has no readable `metrics.csv`.
    """
    path = folder / "metrics.csv"
    try:
        rows = list(csv.DictReader(io.StringIO(read_regular_file(path).decode("utf-8"), newline="")))
        return [_curve(phase, [row for row in rows if row["phase"] == phase]) for phase in _phases(rows)]
    except OSError as error:
        raise UsageError(f"{folder}: has no training metrics ({error.strerror})") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: is not the metrics file of a run ({error})") from None


def _phases(rows: list[dict[str, str]]) -> list[str]:
    return [phase for phase in PHASE_TITLES if any(row["phase"] == phase for row in rows)]


def _curve(phase: str, rows: list[dict[str, str]]) -> Curve:
    judged = [row for row in rows if row["val_loss"]]
    column = next((name for name in rows[0] if name.startswith("val_") and name != "val_loss"), None)
    scores = [float(row[column]) for row in judged if row[column]] if column is not None else []
    return Curve(
        phase,
        tuple(int(row["epoch"]) for row in rows),
        tuple(float(row["train_loss"]) for row in rows),
        tuple(int(row["epoch"]) for row in judged),
        tuple(float(row["val_loss"]) for row in judged),
        None if column is None else column.removeprefix("val_"),
        scores[-1] if scores else None,
    )
