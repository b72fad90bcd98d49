"""Loss curves of one or several runs (GSB Fig. 11), from their `metrics.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from bitvit.errors import UsageError

PHASES = {
    "teacher": "full-precision teacher",
    "stage1": "stage 1: binary weights",
    "stage2": "stage 2: binary weights and activations",
}


@dataclass(frozen=True)
class Curve:
    """One phase of one run: epochs with training loss, and those with test loss."""

    phase: str
    epochs: tuple[int, ...]
    train: tuple[float, ...]
    test_epochs: tuple[int, ...]
    test: tuple[float, ...]
    top1: float | None


def read_curves(folder: Path) -> list[Curve]:
    """Return the phases of a run, finished or not.

    Raises:
        UsageError: the folder has no readable `metrics.csv`.
    """
    path = folder / "metrics.csv"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return [_curve(phase, [row for row in rows if row["phase"] == phase]) for phase in _phases(rows)]
    except OSError as error:
        raise UsageError(f"{folder}: has no metrics of a training run ({error.strerror})") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: is not the metrics file of a run ({error})") from None


def _phases(rows: list[dict[str, str]]) -> list[str]:
    return [phase for phase in PHASES if any(row["phase"] == phase for row in rows)]


def _curve(phase: str, rows: list[dict[str, str]]) -> Curve:
    judged = [row for row in rows if row["val_loss"]]
    top1 = [float(row["val_top1"]) for row in judged if row["val_top1"]]
    return Curve(
        phase,
        tuple(int(row["epoch"]) for row in rows),
        tuple(float(row["train_loss"]) for row in rows),
        tuple(int(row["epoch"]) for row in judged),
        tuple(float(row["val_loss"]) for row in judged),
        top1[-1] if top1 else None,
    )
