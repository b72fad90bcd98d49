"""The linear layers and 8-bit ends of GSB and of its baseline (GSB Eq. 1-6, section IV-C)."""

from typing import Literal

from torch import nn

from bitvit.layers.quant_conv import QuantConv2d
from bitvit.layers.quant_linear import QuantLinear
from bitvit.quantizers.estimator import ActivationEstimator
from bitvit.quantizers.gsb_attention import SIGNED_START, UNSIGNED_START, InitialScales
from bitvit.quantizers.learned_scale import LearnedRound, LearnedSign
from bitvit.quantizers.learned_step import StepActivation, StepWeight
from bitvit.quantizers.scale_gradients import Gradients
from bitvit.quantizers.weight_sign import TensorSignWeight
from bitvit.quantizers.xnor import CentredSign, XnorRound, XnorSign

InputType = Literal["signed", "nonnegative"]
"""Type B (anything) or type A (after ReLU or GELU) of GSB section III-A."""

Statistics = Literal["learned", "xnor"]
"""Where an activation's translation and scale come from: parameters, or its own mean and mean magnitude (XNOR-Net)."""

TypeA = Literal["round", "sign"]
"""How type A activations are binarized: round and clip (Eq. 3), or the sign like type B (Table V)."""

_START = {"signed": SIGNED_START, "nonnegative": UNSIGNED_START}


def gsb_linear(
    in_features: int,
    out_features: int,
    bias: bool = True,
    *,
    input_type: InputType = "signed",
    statistics: Statistics = "learned",
    type_a: TypeA = "round",
) -> QuantLinear:
    """Make a binary linear layer: ``y = s alpha (bits(x) . sign(W - mean W)) + bias``.

    Args:
        in_features: input channels K.
        out_features: output channels O.
        bias: add a real-valued bias.
        input_type: distribution of the input.
        statistics: source of the input's translation and scale.
        type_a: binarization of a non-negative input.
    """
    return QuantLinear(
        in_features,
        out_features,
        bias,
        weight=TensorSignWeight(),
        input=gsb_input(in_features, input_type, statistics, type_a),
    )


def gsb_input(
    channels: int,
    input_type: InputType,
    statistics: Statistics,
    type_a: TypeA,
    initial: InitialScales = "fitted",
    gradients: Gradients = "paper",
) -> ActivationEstimator:
    """Make the estimator of a linear layer's input."""
    rounds = input_type == "nonnegative" and type_a == "round"
    if statistics == "xnor":
        return XnorRound() if rounds else XnorSign()
    start = _START[input_type] if initial == "release" else None
    return (LearnedRound if rounds else LearnedSign)((channels,), start, gradients)


def head_sign(
    num_heads: int,
    head_dim: int,
    statistics: Statistics,
    scaled: bool = True,
    initial: InitialScales = "fitted",
    gradients: Gradients = "paper",
) -> ActivationEstimator:
    """Make the estimator of queries, keys or plain values ``[B, H, N, D]``.

    With XNOR statistics, queries and keys are not scaled (Eq. 7).
    """
    if statistics == "learned":
        return LearnedSign((num_heads, 1, head_dim), SIGNED_START if initial == "release" else None, gradients)
    return XnorSign() if scaled else CentredSign()


def step_linear(linear: nn.Linear) -> QuantLinear:
    """Return a copy of a linear layer with 8-bit weights and inputs: a classification head."""
    return QuantLinear.from_float(linear, weight=StepWeight(), input=StepActivation(linear.in_features))


def step_conv(conv: nn.Conv2d) -> QuantConv2d:
    """Return a copy of a convolution of images with 8-bit weights and a step for each output channel."""
    return QuantConv2d.from_float(conv, weight=StepWeight(), input=None)
