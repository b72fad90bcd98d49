"""Training stages of a binary model, and the phases of the baseline's attention."""

from typing import Literal, get_args

from torch import nn

from bitvit.errors import UsageError
from bitvit.layers.facts import staged_layers
from bitvit.layers.quant_linear import QuantizedProduct
from bitvit.quantizers.estimator import Estimator
from bitvit.quantizers.xnor_attention import XnorAttention

Stage = Literal["weights", "full"]
"""Stage 1 (binary weights, real activations) or stage 2 (both binary) of GSB section IV-D."""


def set_stage(model: nn.Module, stage: Stage) -> None:
    """Choose what is binary: ``"weights"`` (stage 1) or ``"full"`` (stage 2, and how the model runs after training).

    Parameters that only binary activations use (shifts, scales, offsets) take no gradient in stage 1; entering stage 2
    they do. Their initial values come from `bitvit.layers.calibrate`, called after ``set_stage(model, "full")``.

    Raises:
        UsageError: no such stage, or a model without binary layers.
    """
    if stage not in get_args(Stage):
        raise UsageError(f"unknown stage {stage!r}; choose one of {', '.join(get_args(Stage))}")
    layers = staged_layers(model)
    if not layers:
        raise UsageError(f"{type(model).__name__} has no binary layers: binarize it first")
    for layer in layers:
        layer.set_activation_binarization(stage == "full")


def get_stage(model: nn.Module) -> Stage:
    """Return the stage that `set_stage` chose; a model that was never set is in ``"full"``."""
    is_real = any(isinstance(module, Estimator) and not module.enabled for module in model.modules())
    return "weights" if is_real else "full"


def start_epoch(model: nn.Module, progress: float) -> None:
    """Tell layers whose gradients follow a schedule (IR-Net, RBNN, ReCU) that an epoch begins. Other models: no effect.

    Args:
        model: the network that is trained.
        progress: share of the phase's epochs that are over, in [0, 1).
    """
    for layer in model.modules():
        if isinstance(layer, QuantizedProduct):
            layer.start_epoch(progress)


def set_attention_phase(model: nn.Module, phase: Literal[1, 2]) -> None:
    """Choose how the baseline computes its attention's factor: 1 by Eq. 2, 2 by Eq. 8 with the switch.

    Without effect on other models.

    Raises:
        UsageError: the phase is neither 1 nor 2.
    """
    if phase not in (1, 2):
        raise UsageError(f"attention phase is {phase!r}; choose 1 or 2")
    for layer in model.modules():
        if isinstance(layer, XnorAttention):
            layer.set_phase(phase)
