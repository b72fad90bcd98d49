"""Records of a run's epochs: kept with the trainer's state, written as CSV, drawn as loss curves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bitvit.files import write_atomically
from bitvit.tasks import Metric
from bitvit.training.phase_names import PHASE_TITLES

__all__ = ["EpochRecord", "draw_loss_curves", "write_metrics"]


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch. Validation figures are None in epochs without validation.

    Attributes:
        phase: "teacher", "stage1" or "stage2".
        epoch: counted from 1 within the phase; `epochs` of them there are.
        train_loss: mean of the loss that was minimized, over the augmented training images.
        val_loss: mean loss on the validation images, without augmentation and teacher.
        metrics: the task's metrics on the validation images, shares from 0 to 1.
        learning_rate: at the end of the epoch.
        seconds: of wall-clock time.
    """

    phase: str
    epoch: int
    epochs: int
    train_loss: float
    val_loss: float | None
    metrics: dict[str, float] | None
    learning_rate: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def write_metrics(path: Path, history: Sequence[EpochRecord], metrics: Sequence[str]) -> None:
    """Write the whole history as CSV, with one column `val_<key>` for each of the task's metrics.

    Raises:
        OutputError: if it cannot be written.
    """
    text = io.StringIO()
    plain = [entry.name for entry in fields(EpochRecord)]
    split = plain.index("metrics")
    columns = [*plain[:split], *(f"val_{key}" for key in metrics), *plain[split + 1 :]]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for record in history:
        values = record.to_dict()
        found = values.pop("metrics") or {}
        values.update({f"val_{key}": found.get(key) for key in metrics})
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()})
    write_atomically(path, text.getvalue().encode())


def draw_loss_curves(path: Path, history: Sequence[EpochRecord], metric: Metric) -> None:
    """Draw training and test loss over the epochs, one panel for each phase, on one scale (as GSB Fig. 11).

    Args:
        path: PNG to write.
        history: one record for each epoch.
        metric: its last value stands above each panel.

    Raises:
        OutputError: if the figure cannot be written.
    """
    # The object interface: pyplot would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    phases = [phase for phase in PHASE_TITLES if any(record.phase == phase for record in history)]
    figure = Figure(figsize=(1.5 + 3.6 * len(phases), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(phases), sharey=True, squeeze=False)[0]
    for panel, phase in zip(panels, phases, strict=True):
        records = [record for record in history if record.phase == phase]
        judged = [record for record in records if record.val_loss is not None]
        panel.plot([r.epoch for r in records], [r.train_loss for r in records], label="training loss", color="tab:blue")
        panel.plot(
            [r.epoch for r in judged],
            [r.val_loss if r.val_loss is not None else math.nan for r in judged],
            label="test loss",
            color="tab:orange",
            linestyle="--",
        )
        last = next((r.metrics[metric.key] for r in reversed(judged) if r.metrics is not None), None)
        figure_text = f"\n{metric.title} {100 * last:.2f} %" if last is not None else ""
        panel.set_title(PHASE_TITLES[phase] + figure_text, fontsize=9)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("loss")
    panels[0].legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=130, metadata={"Software": None})
    write_atomically(path, image.getvalue())
