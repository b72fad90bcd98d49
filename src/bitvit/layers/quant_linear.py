"""Linear layer with quantized weights and inputs, by any estimators."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.charge import Call, Charge
from bitvit.errors import ExportError
from bitvit.layers.facts import INPUTS, WEIGHTS, RealParts
from bitvit.layers.packed import PackedBinaryLinear, PackedCodeLinear
from bitvit.quantizers.estimator import ActivationEstimator, WeightEstimator, product_of
from bitvit.quantizers.learned_step import StepWeight
from bitvit.quantizers.packed_forms import InputBits, InputCodes

Initialize = Callable[[Tensor], object]
"""Draws a weight in place."""


class QuantizedProduct(nn.Module):
    """What `QuantLinear` and `QuantConv2d` share: two estimators, and what they make of the layer."""

    weight: Tensor
    bias: Tensor | None
    weight_quantizer: WeightEstimator
    input_quantizer: ActivationEstimator | None
    real_parts: ClassVar[RealParts] = {INPUTS: ("input_quantizer",), WEIGHTS: ("weight_quantizer",)}

    def finish(
        self, weight: WeightEstimator, inputs: ActivationEstimator | None, initialize: Initialize | None
    ) -> None:
        """Take the estimators, draw the weights where that was left, and fit the estimator of the weights."""
        if initialize is not None:
            self.to_empty(device=torch.get_default_device())
            initialize(self.weight)
            if self.bias is not None:
                nn.init.zeros_(self.bias)
        self.weight_quantizer = weight
        self.input_quantizer = inputs
        self.fit_weight()

    def take_parameters(self, layer: Any) -> None:
        """Take copies of another layer's weight and bias; the estimators follow its device and dtype."""
        self.weight = nn.Parameter(layer.weight.detach().clone(), layer.weight.requires_grad)
        if layer.bias is not None:
            self.bias = nn.Parameter(layer.bias.detach().clone(), layer.bias.requires_grad)
        self.to(device=layer.weight.device, dtype=layer.weight.dtype)
        self.fit_weight()

    def fit_weight(self) -> None:
        """Fit the weights' estimator to the weights."""
        if not self.weight.is_meta:
            self.weight_quantizer.fit(self.weight)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        super().reset_parameters()  # type: ignore[misc]
        if "weight_quantizer" in self._modules:
            self.fit_weight()

    @property
    def is_binary(self) -> bool:
        """Whether the weights are stored in one bit each."""
        return self.weight_quantizer.bits == 1

    def binary_weight(self) -> tuple[Tensor, Tensor]:
        """Return levels and scale of the weights."""
        levels, scale = self.weight_quantizer(self.weight)
        return levels, levels.new_ones(()) if scale is None else scale

    def start_epoch(self, progress: float) -> None:
        """Prepare the estimators for an epoch; ``progress`` is the share of epochs that are over, in [0, 1)."""
        self.weight_quantizer.start_epoch(progress, self.weight)
        if self.input_quantizer is not None:
            self.input_quantizer.start_epoch(progress)

    def quantized_input(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return levels and scale of the input."""
        return (x, None) if self.input_quantizer is None else self.input_quantizer(x)

    def product_charge(self, products: int, outputs: int) -> Charge:
        """Return the charge of the products and of their scale and bias."""
        inputs, bits = self.input_quantizer, self.weight_quantizer.bits
        if bits >= 8 or not self.weight_quantizer.enabled:
            return Charge(flops=products)
        if inputs is not None and (not inputs.enabled or inputs.bits >= 32):
            return Charge(flops=products, other_flops=outputs)
        return Charge(bops=products * bits * (1 if inputs is None else inputs.bits), other_flops=outputs)

    def no_packed_form(self, why: str) -> ExportError:
        """Return the error that says what cannot be packed."""
        names = type(self.weight_quantizer).__name__, type(self.input_quantizer).__name__
        return ExportError(f"{type(self).__name__} with {names[0]} and {names[1]} has no packed form: {why}")

    def packed_signs(self) -> tuple[Tensor, Tensor]:
        """Return the weights' signs, and their scale; refuse levels that are not signs.

        Raises:
            ExportError: they are not -1 and +1.
        """
        with torch.no_grad():
            signs, scale = self.binary_weight()
        # A level of 0, which the authors' releases have for a weight of exactly 0, is stored as +1.
        if not bool(((signs.abs() == 1) | (signs == 0)).all()):
            raise self.no_packed_form("its weights' levels are not -1 and +1")
        return signs, scale


class QuantLinear(QuantizedProduct, nn.Linear):  # type: ignore[misc]
    """Linear layer with quantized weights and inputs: ``y = s_x s_w (levels(x) . levels(W)) + bias``.

    Products of levels are exact in float32 as long as they are integers below 2^24, so they depend neither on the batch
    nor on the order of summation. Where the weights' estimator knows a fused form for the two (`binary_product`), that
    takes the place of the composition, with the same values.

    Args:
        in_features: input channels K.
        out_features: output channels O.
        bias: add a real-valued bias.
        weight: estimator of the weights.
        input: estimator of the input; None takes the input as it is.
        initialize: draws the first weights (the bias is 0 then), in place of ``nn.Linear``'s way.
        device: of the weights.
        dtype: of the weights.

    Attributes:
        weight: real-valued parameter ``[O, K]``.
        bias: real-valued parameter ``[O]``, or None.
        weight_quantizer: the estimator of the weights.
        input_quantizer: the estimator of the input, or None.

    Shape: ``[..., K] -> [..., O]``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight: WeightEstimator,
        input: ActivationEstimator | None,
        initialize: Initialize | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        device = device if initialize is None else "meta"
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        self.finish(weight, input, initialize)

    @classmethod
    def from_float(
        cls, linear: nn.Linear, *, weight: WeightEstimator, input: ActivationEstimator | None
    ) -> QuantLinear:
        """Return a quantized copy of a linear layer; draws no random numbers."""
        has_bias = linear.bias is not None
        layer = cls(linear.in_features, linear.out_features, has_bias, weight=weight, input=input, device="meta")
        layer.take_parameters(linear)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., K]`` to ``[..., O]``; in one fused step where the weights' estimator has one."""
        weights, inputs = self.weight_quantizer, self.input_quantizer
        if inputs is not None and not (inputs.is_watched or weights.is_watched):
            fused = weights.fused_product(x, self.weight, self.bias, inputs)
            if fused is not None:
                return fused.to(self.weight.dtype)
        levels, input_scale = self.quantized_input(x)
        weight, weight_scale = weights(self.weight)
        scale = product_of(weight_scale, input_scale)
        is_exact = weights.is_full_precision_product
        with torch.autocast(x.device.type, enabled=False) if is_exact else nullcontext():
            if scale is None:
                final: Tensor = F.linear(levels, weight.to(levels.dtype), self.bias)
                return final
            product = F.linear(levels, weight.to(levels.dtype)).to(scale.dtype) * scale
        y: Tensor = (product if self.bias is None else product + self.bias).to(self.weight.dtype)
        return y

    def charge(self, call: Call) -> Charge:
        """Count the products, and what the estimators take for weights and inputs."""
        return self.product_charge(call.elements_out * self.in_features, call.elements_out)

    def float_twin(self) -> nn.Module:
        """Return ``nn.Linear`` of the same sizes."""
        return nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)

    def packed(self) -> nn.Module:
        """Return the layer on bits, or on 8-bit codes.

        Raises:
            ExportError: the estimators have no packed form together.
        """
        if isinstance(self.weight_quantizer, StepWeight):
            form = None if self.input_quantizer is None else self.input_quantizer.packed()
            if not isinstance(form, InputCodes):
                raise self.no_packed_form("8-bit weights need an 8-bit input (StepActivation)")
            codes, step = self.weight_quantizer.codes(self.weight), self.weight_quantizer.steps(self.weight)
            return PackedCodeLinear(codes, step.detach(), self.bias, form)
        return pack_binary_linear(self)


def pack_binary_linear(
    layer: QuantLinear, rows: slice | None = None, bias_shift: Tensor | None = None
) -> PackedBinaryLinear:
    """Pack a linear layer of signs and bits, or some of its outputs.

    Args:
        layer: weights and inputs of one bit.
        rows: the outputs, None for all.
        bias_shift: added to the bias of these outputs.

    Raises:
        ExportError: weights or inputs have other than one bit, or stay real (stage 1).
    """
    rows = rows or slice(None)
    if not layer.is_binary or layer.input_quantizer is None:
        raise layer.no_packed_form("the engine multiplies signs with bits, or 8-bit codes")
    form = layer.input_quantizer.packed()
    if not isinstance(form, InputBits):
        raise layer.no_packed_form("binary weights need a one-bit input")
    signs, scale = layer.packed_signs()
    bias = None if layer.bias is None else layer.bias.detach()[rows].double()
    if bias_shift is not None:
        bias = bias_shift.double() if bias is None else bias + bias_shift.double()
    return PackedBinaryLinear(signs[rows], scale[rows] if scale.dim() else scale, bias, form)
