"""The resumable state of a phase: written after every epoch, and read without executing anything."""

from __future__ import annotations

import io
import pickle
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from bitvit.checkpoints import CheckpointError, CheckpointInfo, save_checkpoint
from bitvit.files import write_atomically
from bitvit.tasks import Evaluation, Task
from bitvit.training.history import EpochRecord, write_metrics
from bitvit.training.phase_module import PhaseModule
from bitvit.training.report import BestEpoch
from bitvit.training.run_folder import RunFolder

__all__ = ["AtomicCheckpointIO", "SaveState", "is_better"]

_VERSION_KEY = "bitvit_version"
_VERSION = 3  # as that of checkpoints: what a state's parameters mean


class AtomicCheckpointIO(CheckpointIO):
    """Writes Lightning's checkpoints completely or not at all; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: if it cannot be written; the older one stays.
        """
        content = io.BytesIO()
        torch.save({**checkpoint, _VERSION_KEY: _VERSION}, content)
        write_atomically(path, content.getvalue())

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint. Pickled code in it is refused, whatever `weights_only` says.

        Raises:
            CheckpointError: if it is damaged, of another version, or holds anything but tensors and plain values.
        """
        try:
            checkpoint = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = "" if "eights only" in text else f" ({text})"  # PyTorch advises to run what is in it
            raise CheckpointError(
                f"{path}: the trainer's state is damaged{reason}; delete it to restart this phase"
            ) from None
        if not isinstance(checkpoint, dict):
            raise CheckpointError(f"{path}: not a trainer's state; delete it to restart this phase")
        if checkpoint.get(_VERSION_KEY) != _VERSION:
            raise CheckpointError(f"{path}: was written by another version of bitvit; delete it to restart this phase")
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def is_better(value: float, loss: float, best: BestEpoch, records: Sequence[EpochRecord]) -> bool:
    """Return whether an epoch is better than the best so far: by its metric, and where that is equal by its loss.

    With some dozens of validation images equal metrics are common.

    Args:
        value: of the metric that decides.
        loss: on the validation images.
        best: the best epoch so far.
        records: of the phase, among them that of the best epoch.
    """
    losses = [record.val_loss for record in records if record.epoch == best.epoch]
    loss_then = losses[-1] if losses else None
    return value > best.value or (value == best.value and loss_then is not None and loss < loss_then)


class SaveState(Checkpoint):
    """Writes after every epoch.

    In this order: the best weights so far, one more record of the history, `metrics.csv`, the trainer's state. The
    history travels inside the state, so that after a crash both are of the same epoch.

    Args:
        folder: of the run.
        phase: its name.
        task: what the network is for.
        earlier: records of the phases before this one.
        best: file for the weights of the best epoch; None keeps none.
        info: description of the model in that file.
        on_epoch: called with each new record.
    """

    def __init__(
        self,
        folder: RunFolder,
        phase: str,
        task: Task,
        earlier: Sequence[EpochRecord],
        best: Path | None,
        info: CheckpointInfo,
        on_epoch: Callable[[EpochRecord], None] | None = None,
    ) -> None:
        self._folder = folder
        self._phase = phase
        self._task = task
        self._earlier = list(earlier)
        self._best_file = best
        self._info = info
        self._on_epoch = on_epoch
        self._epoch_start = time.monotonic()
        self.records: list[EpochRecord] = []
        """Records of this phase."""
        self.best: BestEpoch | None = None
        """The best epoch so far."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._epoch_start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything of the epoch, in the order that the class describes."""
        assert isinstance(pl_module, PhaseModule)
        found = pl_module.evaluation
        record = EpochRecord(
            phase=self._phase,
            epoch=trainer.current_epoch + 1,
            epochs=trainer.max_epochs or 0,
            train_loss=pl_module.train_loss,
            val_loss=None if found is None else found.loss,
            metrics=None if found is None else found.metrics(),
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            seconds=time.monotonic() - self._epoch_start,
        )
        self.records.append(record)
        if found is not None:
            self._keep_best(trainer, pl_module, record.epoch, found)
        figures = {key: value for key, value in record.to_dict().items() if isinstance(value, float)}
        figures |= {f"val_{key}": value for key, value in (record.metrics or {}).items()}
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=record.epoch)
        if trainer.is_global_zero:
            keys = [metric.key for metric in self._task.metrics]
            write_metrics(self._folder.metrics, self._earlier + self.records, keys)
        trainer.save_checkpoint(self._folder.state(self._phase))
        if self._on_epoch is not None and trainer.is_global_zero:
            self._on_epoch(record)

    def _keep_best(self, trainer: Trainer, module: PhaseModule, epoch: int, found: Evaluation) -> None:
        if self._best_file is None:
            return
        metric = self._task.metrics[0].key
        value = found.metrics()[metric]
        if self.best is not None and not is_better(value, found.loss, self.best, self.records):
            return
        self.best = BestEpoch(epoch, metric, value, self._best_file.name)
        if trainer.is_global_zero:
            info = replace(self._info, metrics={"epoch": epoch, "loss": found.loss, **found.metrics()})
            save_checkpoint(self._best_file, module.model, info)

    def state_dict(self) -> dict[str, Any]:
        """Return the records of this phase and the figures of its best epoch, as plain values."""
        return {
            "records": [record.to_dict() for record in self.records],
            "best": None if self.best is None else asdict(self.best),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.records = [EpochRecord(**record) for record in state_dict["records"]]
        best = state_dict["best"]
        self.best = None if best is None else BestEpoch(**best)
