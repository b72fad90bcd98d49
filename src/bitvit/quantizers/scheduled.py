"""Estimators whose gradient or range follows the progress of training (IR-Net, RBNN, ReCU)."""

from __future__ import annotations

import torch
from torch import Tensor

from bitvit.quantizers.estimator import Estimator


class ScheduledEstimator(Estimator):
    """An estimator that knows how far training is.

    Attributes:
        progress: share of the epochs that are over, a scalar in [0, 1); not stored in checkpoints.
    """

    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def start_epoch(self, progress: float, weight: Tensor | None = None) -> None:
        """Store the progress of training."""
        self.progress.fill_(progress)
