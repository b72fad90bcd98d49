"""Linear layer with binary weights and binary inputs (GSB Eq. 1-6, section IV-C)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.layers.staged import enable_gradients
from bitvit.quantizers import (
    Positive,
    at_least_float32,
    binary_product,
    binary_weight_parts,
    fit_round_scale,
    fit_sign_scale,
    image_statistics,
    round_bits,
    sign_bits,
)

InputType = Literal["signed", "nonnegative"]
"""Type B (anything) or type A (after ReLU or GELU) of GSB section III-A."""

Statistics = Literal["learned", "xnor"]
"""Where an activation's translation and scale come from: parameters, or its own mean and mean magnitude (XNOR-Net)."""

TypeA = Literal["round", "sign"]
"""How type A activations are binarized: round and clip (Eq. 3), or the sign like type B (Table V)."""


class BinaryLinear(nn.Linear):
    """Linear layer on bits: ``y = s alpha (bits(x) . sign(W - mean W)) + bias``.

    Binary input, ``learned``: ``bits = sign(x + shift)`` for signed inputs, ``1{(x + shift)/s > 0.5}`` for non-negative
    ones; ``shift`` per channel and ``s`` are parameters. ``xnor``: ``mu`` and ``beta`` of the image take the places of
    ``-shift`` and ``s``. Products of bits are exact integers in float32, so they do not depend on the batch or on the
    order of summation.

    Gradients: weights by Eq. 6 (identity), inputs and scales as in `bitvit.quantizers.learned_sign` and
    `learned_round`; statistics are constants.

    Args:
        in_features: input channels K.
        out_features: output channels O.
        bias: add a real-valued bias.
        input_type: distribution of the input.
        statistics: source of the input's translation and scale.
        type_a: binarization of a non-negative input.

    Attributes:
        weight, bias: real-valued parameters ``[O, K]`` and ``[O]``.
        input_shift: ``[K]``, added to the input, initially 0 (learned only).
        input_scale: effective scale s of the input, a positive scalar (learned only; the parameter is
            ``raw_input_scale``).
        binarize_input: False in stage 1, where the input stays real.

    Shape: ``[B, ..., K] -> [B, ..., O]``.

    Source: GSB Eq. 1-6 and section IV-C (learned parameters). The authors' release keeps qkv and proj real in stage 1.
    """

    input_scale = Positive()

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        input_type: InputType = "signed",
        statistics: Statistics = "learned",
        type_a: TypeA = "round",
    ) -> None:
        super().__init__(in_features, out_features, bias=bias)
        self.input_type = input_type
        self.statistics = statistics
        self.type_a = type_a
        self.binarize_input = True
        if statistics == "learned":
            self.input_shift = nn.Parameter(torch.zeros(in_features))
            self.raw_input_scale = nn.Parameter(torch.ones(()))

    @property
    def rounds_input(self) -> bool:
        """Whether the input becomes {0, 1} rather than {-1, +1}."""
        return self.input_type == "nonnegative" and self.type_a == "round"

    def binary_weight(self) -> tuple[Tensor, Tensor]:
        """Signs in {-1, +1} ``[O, K]`` and the scalar scale alpha of the weights."""
        return binary_weight_parts(at_least_float32(self.weight))

    def input_bits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bits of the input, same shape, and the scale that belongs to them: scalar, or ``[B, 1, ...]`` from
        statistics."""
        x = at_least_float32(x)
        shift, scale = self._input_statistics(x)
        bits = round_bits(x, scale, shift) if self.rounds_input else sign_bits(x, scale, shift)
        return bits, scale.detach()

    def _input_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the input, and the scale of its bits."""
        if self.statistics == "learned":
            return self.input_shift, self.input_scale
        mean, scale = image_statistics(x)
        return -mean, scale

    def forward(self, x: Tensor) -> Tensor:
        if self.binarize_input:
            shift, scale = self._input_statistics(at_least_float32(x))
            weight = at_least_float32(self.weight)
            return binary_product(at_least_float32(x), weight, scale, shift, self.bias, self.rounds_input)
        signs, scale = self.binary_weight()
        product = F.linear(x, signs).to(scale.dtype) * scale
        return product if self.bias is None else product + self.bias

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`."""
        self.binarize_input = enabled
        if self.statistics == "learned":
            enable_gradients([self.input_shift, self.raw_input_scale], enabled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the input's scale to its least-squares value on ``x``; the shift stays."""
        if self.statistics == "learned":
            shifted = at_least_float32(x) + self.input_shift
            self.input_scale = fit_round_scale(shifted) if self.rounds_input else fit_sign_scale(shifted)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, input_type={self.input_type}, statistics={self.statistics}, type_a={self.type_a}"
        )
