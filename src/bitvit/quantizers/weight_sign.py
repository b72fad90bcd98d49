"""Binary weights with one scale a tensor (GSB Eq. 1, 2 and 6)."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.sign import binary_sign

# An all-zero weight has the mean magnitude 0; this floor (far below float32's resolution of any real weight) keeps its
# gradient.
_MIN_WEIGHT_SCALE = 1e-12


def weight_scale(weight: Tensor) -> Tensor:
    """``mean(|W|)``, positive, of the weights before centring; a scalar without a gradient."""
    return weight.detach().abs().mean().clamp_min(_MIN_WEIGHT_SCALE)


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
