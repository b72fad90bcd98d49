"""ReCU: binary weights whose outliers are clamped, so that dead weights receive a gradient again."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.channelwise_weight import channelwise_scale
from bitvit.quantizers.triangular_sign import SignOfZero, hard_sign

DEFAULT_TAU = 0.92


class _ClampedSign(Function):
    @staticmethod
    def forward(ctx: Any, standardized: Tensor, scale: Tensor, limit: Tensor, sign_of_zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(standardized, scale, limit)
        return hard_sign(standardized, sign_of_zero)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        standardized, scale, limit = ctx.saved_tensors
        return grad_outputs[0] / scale * (standardized.abs() <= limit), None, None, None


def recu_weight_signs(
    weight: Tensor, tau: float = DEFAULT_TAU, sign_of_zero: SignOfZero = "plus"
) -> tuple[Tensor, Tensor]:
    """Binarize weights per output channel, with the gradient of standardized and clamped weights.

    Forward: signs and scales of `channelwise_weight_signs`. Backward of their product: that of
    ``u = 2 sqrt(2) (w - mean_o(w)) / sqrt(var_o(w) + 1e-5)`` (unbiased variance) clamped to ``+-q``,
    ``q = -mean(|u|) ln(2 - 2 tau)`` over the whole tensor without a gradient: identity inside the clamp, 0 outside.

    Args:
        weight: ``[O, K]``. tau: quantile of the Laplace distribution at which weights are clamped, in (0.5, 1).
        sign_of_zero: the sign given to an exact zero.

    Returns:
        Signs ``[O, K]`` and scales ``[O]``.

    Source: ReCU (Xu et al., 2021) as BHViT uses it (MODELS section 5).
    """
    variance, mean = torch.var_mean(weight, dim=1, keepdim=True)
    standardized = (weight - mean) * (2 * math.sqrt(2) / torch.sqrt(variance + 1e-5))
    limit = -standardized.detach().abs().mean() * math.log(2 - 2 * tau)
    scale = channelwise_scale(weight)
    signs: Tensor = _ClampedSign.apply(standardized, scale, limit, sign_of_zero)
    return signs, scale.flatten()
