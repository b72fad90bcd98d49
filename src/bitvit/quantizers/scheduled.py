"""Estimators whose gradient or range follows the progress of training (IR-Net, RBNN, ReCU)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.estimator import Estimator
from bitvit.quantizers.triangular_sign import hard_sign

GradientEstimate = Callable[[Tensor, Tensor], Tensor]


class _ScheduledSign(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, progress: Tensor, estimate: GradientEstimate) -> Tensor:
        ctx.save_for_backward(x, progress)
        ctx.estimate = estimate
        return hard_sign(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        x, progress = ctx.saved_tensors
        return grad_outputs[0] * ctx.estimate(x, progress), None, None


def scheduled_sign(x: Tensor, progress: Tensor, estimate: GradientEstimate) -> Tensor:
    """Return signs whose gradient depends on the progress of training.

    Forward: ``y = -1 where x < 0, else +1``. Backward: ``dL/dx = dL/dy estimate(x, progress)``.

    Args:
        x: values of any shape.
        progress: share of the epochs that are over, a scalar in [0, 1].
        estimate: what takes the place of the sign's derivative.
    """
    y: Tensor = _ScheduledSign.apply(x, progress, estimate)
    return y


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
