"""IR-Net: balanced, standardized weights (Libra) and a gradient that sharpens during training (EDE)."""

import torch
from torch import Tensor

from bitvit.quantizers.estimator import ActivationEstimator, Quantized, WeightEstimator
from bitvit.quantizers.scheduled import ScheduledEstimator, scheduled_sign

_LOG_T_FIRST, _LOG_T_LAST = -1.0, 1.0
_TINY = 1e-12


def decay_estimate(x: Tensor, progress: Tensor) -> Tensor:
    """``k t (1 - tanh(t x)^2)``, the gradient of the sign at this point of training; see `decayed_sign`."""
    t = 10 ** (_LOG_T_FIRST + (_LOG_T_LAST - _LOG_T_FIRST) * progress)
    k = (1 / t).clamp_min(1)
    return k * t * (1 - torch.tanh(t * x).square())


def decayed_sign(x: Tensor, progress: Tensor) -> Tensor:
    """Sign with the error decay estimator.

    Forward: ``y = -1 where x < 0, else +1``. Backward: ``dL/dx = dL/dy g'(x)``, ``g(x) = k tanh(t x)``,
    ``t = 0.1 * 100^progress``, ``k = max(1/t, 1)``: wide in the beginning, close to the sign at the end.

    Args:
        x: values of any shape.
        progress: share of the epochs that are over, a scalar in [0, 1].

    Source: Qin et al., "Forward and Backward Information Retention", CVPR 2020, Eq. 12-15.
    """
    return scheduled_sign(x, progress, decay_estimate)


def libra_weight_signs(weight: Tensor, progress: Tensor) -> tuple[Tensor, Tensor]:
    """Binarize filters that are balanced and standardized first; the binary weight is signs times scale.

    Forward: ``v = (w - mean_o(w)) / std_o(w)`` (unbiased), ``sign(v)``, and ``2^s`` with
    ``s_o = round(log2(mean_o(|v|)))`` (no gradient). Backward of the product (G its gradient):
    ``dL/dv = G 2^s g'(v)`` as in `decayed_sign`, then through the standardization.

    Args:
        weight: ``[O, ...]``, more than one weight a filter.
        progress: see `decayed_sign`.

    Returns:
        Signs in the shape of ``weight`` and scales ``[O]``.

    Source: IR-Net, Eq. 6-9 (Libra parameter binarization) and 12-15.
    """
    flat = weight.flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    standardized = centred / flat.std(dim=1, keepdim=True).clamp_min(_TINY)
    with torch.no_grad():
        scale = torch.exp2(torch.round(torch.log2(standardized.abs().mean(dim=1).clamp_min(_TINY))))
    return decayed_sign(standardized, progress).view_as(weight), scale


class IrNetWeight(ScheduledEstimator, WeightEstimator):
    """`libra_weight_signs` with the progress of training."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]`` and a scale, a power of two, for each output channel, ``[O]``."""
        return libra_weight_signs(x, self.progress)


class IrNetSign(ScheduledEstimator, ActivationEstimator):
    """`decayed_sign` with the progress of training."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs, in the shape of ``x``, without a scale."""
        return decayed_sign(x, self.progress), None
