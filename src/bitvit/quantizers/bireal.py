"""Bi-Real Net: weights whose gradient knows their magnitude. Its activations are `triangular_sign`."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.channelwise_weight import channelwise_scale
from bitvit.quantizers.estimator import Quantized, WeightEstimator
from bitvit.quantizers.triangular_sign import hard_sign


class _MagnitudeAwareSign(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return hard_sign(weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        grad: Tensor = grad_outputs[0] * (weight.abs() < 1)
        return grad


def magnitude_aware_signs(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Binarize filters to signs and a scale each; the binary weight is their product.

    Forward: ``sign(w)`` and ``alpha_o = mean_o(|w|)`` (no gradient).
    Backward of the product (G its gradient): ``dL/dw = G alpha_o 1{|w| < 1}``: the update is proportional to the
    filter's magnitude, so that small weights can change sign.

    Args:
        weight: ``[O, ...]``.

    Returns:
        Signs in the shape of ``weight`` and scales ``[O]``.

    Source: Liu et al., "Bi-Real Net", ECCV 2018, Eq. 8-10.
    """
    signs: Tensor = _MagnitudeAwareSign.apply(weight)
    return signs, channelwise_scale(weight).flatten()


class BiRealWeight(WeightEstimator):
    """`magnitude_aware_signs`."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]`` and a scale for each output channel, ``[O]``."""
        return magnitude_aware_signs(x)
