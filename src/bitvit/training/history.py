"""What each epoch of a run brought: kept with the trainer's state, written as CSV, drawn as loss curves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bitvit.files import write_atomically

__all__ = ["EpochRecord", "draw_loss_curves", "write_metrics"]


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch. Validation figures are None in epochs without validation.

    Attributes:
        phase: "teacher", "stage1" or "stage2".
        epoch: counted from 1 within the phase; `epochs` of them there are.
        train_loss: mean of the loss that was minimized, over the augmented training images.
        val_loss: mean cross entropy on the validation images.
        val_top1, val_top5: shares, 0 to 1.
        learning_rate: at the end of the epoch.
        seconds: of wall-clock time.
    """

    phase: str
    epoch: int
    epochs: int
    train_loss: float
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    learning_rate: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def write_metrics(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write the whole history as CSV.

    Raises:
        OutputError: if it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [entry.name for entry in fields(EpochRecord)], lineterminator="\n")
    writer.writeheader()
    for record in history:
        values = record.to_dict()
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()})
    write_atomically(path, text.getvalue().encode())


_TITLES = {
    "teacher": "full-precision teacher",
    "stage1": "stage 1: weights",
    "stage2": "stage 2: weights and activations",
}


def draw_loss_curves(path: Path, history: Sequence[EpochRecord]) -> None:
    """Draw training and test loss over the epochs, one panel a phase side by side on one scale (in the form of GSB Fig.
    11).

    Raises:
        OutputError: if the figure cannot be written.
    """
    # The object interface: pyplot would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    phases = [phase for phase in _TITLES if any(record.phase == phase for record in history)]
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
        last = next((r.val_top1 for r in reversed(judged) if r.val_top1 is not None), None)
        panel.set_title(_TITLES[phase] + (f"\ntop-1 {100 * last:.2f} %" if last is not None else ""), fontsize=9)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("loss")
    panels[0].legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=130, metadata={"Software": None})
    write_atomically(path, image.getvalue())
