"""Binary weights with one scale a tensor (GSB Eq. 1, 2 and 6)."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.binary_product import binary_product
from bitvit.quantizers.estimator import ActivationEstimator, Quantized, WeightEstimator
from bitvit.quantizers.learned_scale import ScaledBits
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.sign import binary_sign
from bitvit.quantizers.weight_scale import weight_scale


class _WeightSigns(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
        scale = weight_scale(weight)
        ctx.save_for_backward(scale)
        ctx.mark_non_differentiable(scale)
        return binary_sign(weight - weight.mean()), scale

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (scale,) = ctx.saved_tensors
        grad: Tensor = grad_outputs[0] / scale
        return grad


def binary_weight_parts(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Binarize a weight tensor into its signs and its scale, kept apart so that products of signs stay exact integers.

    Forward: ``signs = sign(W - mean(W))``, ``alpha = mean(|W|)`` taken before centring; the binary weight is ``alpha *
    signs``.
    Backward: the gradient of that product passes unchanged, ``dL/dW = dL/d(alpha signs)``; this function receives
    ``dL/d(signs) = alpha dL/d(alpha signs)`` and divides by alpha. ``alpha`` itself carries no gradient.

    Args:
        weight: the real-valued weights, any shape.

    Returns:
        Signs in {-1, +1} in the shape of ``weight``, and the positive scalar ``alpha``.

    Source: GSB Eq. 1, 2 and 6.
    """
    signs, scale = _WeightSigns.apply(weight)
    return signs, scale


def binary_weight(weight: Tensor) -> Tensor:
    """Binarize a weight tensor: ``alpha * sign(W - mean(W))``, gradient identity; see `binary_weight_parts`."""
    signs, scale = binary_weight_parts(weight)
    return signs * scale


class TensorSignWeight(WeightEstimator):
    """Binary weights with one scale a tensor: `binary_weight_parts`.

    With scaled bits as inputs (`bitvit.quantizers.learned_scale`) a linear layer is one fused step: `binary_product`.
    """

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]`` and the scale ``alpha``, a scalar."""
        return binary_weight_parts(at_least_float32(x))

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``W - mean(W)``."""
        return at_least_float32(x) - at_least_float32(x).mean(), None

    def fused_product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, inputs: ActivationEstimator
    ) -> Tensor | None:
        """Return the linear layer by `binary_product`, None where the inputs are not scaled bits."""
        if not (self.enabled and isinstance(inputs, ScaledBits) and inputs.enabled and inputs.is_standard):
            return None
        x = at_least_float32(x)
        shift, scale = inputs.shift_and_scale(x)
        return binary_product(x, at_least_float32(weight), scale, shift, bias, inputs.rounds)
