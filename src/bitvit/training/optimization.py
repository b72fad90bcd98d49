"""The optimizer of a phase."""

from __future__ import annotations

from typing import Any

from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim import Optimizer

from bitvit.models import no_weight_decay
from bitvit.quantizers import Estimator, limit_drift
from bitvit.training.errors import RecipeError
from bitvit.training.recipe import ScaleSpeed, Schedule

__all__ = ["create_optimizer"]


def create_optimizer(
    model: nn.Module, phase: str, schedule: Schedule, precision: str, scales: ScaleSpeed | None = None
) -> Optimizer:
    """Return timm's optimizer of that name for a model's parameters, without weight decay where it has no meaning.

    The logarithms of learned scales and those of 8-bit steps are groups of their own, with learning rates relative to
    that of the weights. After every step they are brought back into their range (`bitvit.quantizers.limit_drift`).

    Args:
        model: whose parameters with ``requires_grad`` are trained.
        phase: names the keys in errors.
        schedule: of the phase.
        precision: of the recipe.
        scales: how scales move; None takes the defaults.

    Raises:
        RecipeError: timm has no such optimizer, or it takes other arguments.
    """
    scales = scales or ScaleSpeed()
    exempt = no_weight_decay(model)
    logs, steps = _scale_parameters(model)
    own = {id(value) for value in (*logs, *steps)}
    parameters = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    weights = [(name, value) for name, value in parameters if id(value) not in own]
    rate = schedule.learning_rate
    groups: list[dict[str, Any]] = [
        {"params": [value for name, value in weights if name not in exempt], "weight_decay": schedule.weight_decay},
        {"params": [value for name, value in weights if name in exempt], "weight_decay": 0.0},
        {"params": logs, "weight_decay": 0.0, "lr": scales.speed * rate, "eps": scales.eps},
        {"params": steps, "weight_decay": 0.0, "lr": scales.step_speed * rate, "eps": scales.eps},
    ]
    # One pass over all weights for PyTorch's own optimizers; Lightning cannot clip for one in mixed precision.
    is_fused = schedule.optimizer in ("adam", "adamw", "sgd") and not precision.endswith("mixed")
    fused: dict[str, Any] = {"fused": True} if is_fused else {}
    try:
        optimizer: Optimizer = create_optimizer_v2(
            [group for group in groups if group["params"]],
            opt=schedule.optimizer,
            lr=rate,
            weight_decay=schedule.weight_decay,
            momentum=schedule.momentum,
            **fused,
        )
    except (ValueError, AssertionError, TypeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"{phase}.optimizer: timm has no usable optimizer '{schedule.optimizer}' ({reason})"
        ) from None
    if logs or steps:
        optimizer.register_step_post_hook(lambda *_: limit_drift([*logs, *steps]))
    return optimizer


def _scale_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trained logarithms of a model's scales, and those of its 8-bit steps."""
    logs: list[nn.Parameter] = []
    steps: list[nn.Parameter] = []
    for module in model.modules():
        if isinstance(module, Estimator):
            found = [value for value in module.scale_parameters().values() if value.requires_grad]
            (steps if module.bits >= 8 else logs).extend(found)
    return logs, steps
