"""The optimizer of a phase."""

from __future__ import annotations

from typing import Any

from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim import Optimizer

from bitvit.models import no_weight_decay
from bitvit.training.errors import RecipeError
from bitvit.training.recipe import Schedule

__all__ = ["create_optimizer"]


def create_optimizer(model: nn.Module, phase: str, schedule: Schedule, precision: str) -> Optimizer:
    """Return timm's optimizer of that name for a model's parameters, without weight decay where it has no meaning.

    Raises:
        RecipeError: timm has no such optimizer, or it takes other arguments.
    """
    exempt = no_weight_decay(model)
    parameters = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [
        {"params": [value for name, value in parameters if name not in exempt], "weight_decay": schedule.weight_decay},
        {"params": [value for name, value in parameters if name in exempt], "weight_decay": 0.0},
    ]
    # One pass over all weights for PyTorch's own optimizers; Lightning cannot clip for one in mixed precision.
    is_fused = schedule.optimizer in ("adam", "adamw", "sgd") and not precision.endswith("mixed")
    fused: dict[str, Any] = {"fused": True} if is_fused else {}
    try:
        optimizer: Optimizer = create_optimizer_v2(
            [group for group in groups if group["params"]],
            opt=schedule.optimizer,
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            momentum=schedule.momentum,
            **fused,
        )
    except (ValueError, AssertionError, TypeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"{phase}.optimizer: timm has no usable optimizer '{schedule.optimizer}' ({reason})"
        ) from None
    return optimizer
