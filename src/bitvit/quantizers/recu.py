"""ReCU: binary weights whose outliers are clamped, so that dead weights receive a gradient again."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.channelwise_weight import channelwise_scale, filter_mean
from bitvit.quantizers.estimator import Quantized, WeightEstimator
from bitvit.quantizers.scheduled import ScheduledEstimator
from bitvit.quantizers.triangular_sign import SignOfZero, hard_sign

DEFAULT_TAU = 0.92
TAU_FIRST, TAU_LAST = 0.85, 0.99


def scheduled_tau(progress: Tensor) -> Tensor:
    """Quantile at which weights are clamped: ``a + b exp(progress)``, from 0.85 in the beginning to 0.99 at the end.

    Args:
        progress: share of the epochs that are over, a scalar in [0, 1].

    Source: ReCU (Xu et al., 2021), Eq. 18.
    """
    slope = (TAU_LAST - TAU_FIRST) / (math.e - 1)
    return TAU_FIRST - slope + slope * torch.exp(progress)


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
    weight: Tensor, tau: float | Tensor = DEFAULT_TAU, sign_of_zero: SignOfZero = "plus"
) -> tuple[Tensor, Tensor]:
    """Binarize weights per output channel, with the gradient of standardized and clamped weights.

    Forward: signs and scales of `channelwise_weight_signs`. Backward of their product: that of
    ``u = 2 sqrt(2) (w - mean_o(w)) / sqrt(var_o(w) + 1e-5)`` (unbiased variance) clamped to ``+-q``,
    ``q = -mean(|u|) ln(2 - 2 tau)`` over the whole tensor without a gradient: identity inside the clamp, 0 outside.

    Args:
        weight: ``[O, K]``.
        tau: quantile of the Laplace distribution at which weights are clamped, in (0.5, 1).
        sign_of_zero: the sign given to an exact zero.

    Returns:
        Signs ``[O, K]`` and scales ``[O]``.

    Source: ReCU (Xu et al., 2021) as BHViT uses it (docs/models.md, section 5).
    """
    variance, mean = torch.var_mean(weight, dim=1, keepdim=True)
    standardized = (weight - mean) * (2 * math.sqrt(2) / torch.sqrt(variance + 1e-5))
    log_rest = torch.log(2 - 2 * tau) if isinstance(tau, Tensor) else math.log(2 - 2 * tau)
    limit = -standardized.detach().abs().mean() * log_rest
    scale = channelwise_scale(weight)
    signs: Tensor = _ClampedSign.apply(standardized, scale, limit, sign_of_zero)
    return signs, scale.flatten()


class RecuWeight(ScheduledEstimator, WeightEstimator):
    """`recu_weight_signs` of linear layers and convolutions.

    Args:
        scheduled: raise tau during training (`scheduled_tau`) rather than keep it at 0.92.
        sign_of_zero: see there.
    """

    def __init__(self, scheduled: bool = False, sign_of_zero: SignOfZero = "plus") -> None:
        super().__init__()
        self.scheduled = scheduled
        self.sign_of_zero: SignOfZero = sign_of_zero

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]`` and a scale for each output channel."""
        tau = scheduled_tau(self.progress) if self.scheduled else DEFAULT_TAU
        signs, scale = recu_weight_signs(x.flatten(1), tau, self.sign_of_zero)
        return signs.view_as(x), scale

    def real_value(self, x: Tensor) -> Quantized:
        """Return the weights minus each filter's mean."""
        return x - filter_mean(x), None
