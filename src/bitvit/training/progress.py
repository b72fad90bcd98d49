"""A progress bar for a whole phase, on a terminal; plain lines elsewhere."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bitvit.training.phase_module import PhaseModule
from bitvit.training.phase_names import PHASE_TITLES

__all__ = ["ShowProgress"]

_LINES_PER_PHASE = 10


class ShowProgress(Callback):
    """Shows epochs, losses and accuracy of one phase on standard error."""

    def __init__(self, phase: str, console: Console | None = None) -> None:
        self._title = PHASE_TITLES[phase]
        self._console = console or Console(stderr=True, markup=False, emoji=False)
        self._progress: Progress | None = None
        self._task: Any = None
        self._figures = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, if standard error is a terminal."""
        if not trainer.is_global_zero or not self._console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            expand=True,
        )
        self._progress.start()
        total = trainer.max_epochs
        self._task = self._progress.add_task(self._title, total=total, completed=trainer.current_epoch, figures="")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        if self._progress is not None:
            done = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
            self._progress.update(self._task, completed=done)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the figures of the epoch, on a line of their own where there is no terminal."""
        assert isinstance(pl_module, PhaseModule)
        found = pl_module.evaluation
        if found is not None:
            metric = pl_module.task.metrics[0]
            share = found.metrics()[metric.key]
            self._figures = f"validation loss {found.loss:.3f}  {metric.title} {100 * share:.2f} %"
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        if self._progress is not None:
            self._progress.update(self._task, completed=epoch, figures=self._figures)
        elif trainer.is_global_zero and (epoch == epochs or epoch % max(1, epochs // _LINES_PER_PHASE) == 0):
            figures = "" if found is None else f"  {self._figures}"  # those of an earlier epoch were printed then
            self._console.print(f"{self._title}: epoch {epoch}/{epochs}{figures}", highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that an error is printed below it."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
