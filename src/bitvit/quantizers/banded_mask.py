"""Attention as a base map and two exclusive bands near the row maximum: GSB attention as BHViT uses it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.clipped_mask import INITIAL_CLIP
from bitvit.quantizers.estimator import AttentionEstimator, Quantized, mean_ratio
from bitvit.quantizers.packed_forms import MaskPlanes, Rules, first_threshold, for_each_head
from bitvit.quantizers.positive import Positive

BAND_FACTORS = (0.7, 0.9)
"""Lower edges of the two bands, as fractions of the row's maximum."""


def band_maps(probabilities: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the base map {-1, 0, 1} and the two band masks {0, 1}, in the shape of ``probabilities``, no gradient.

    With ``R = rowmax(p)``: ``T2 = 1{p > 0.9 R}``, ``T1 = 1{p > 0.7 R} - T2``, ``T0 = 1{p / a > 0.5} - T1 - T2``. T0 is
    -1 where a band fires below the base threshold ``a / 2``.
    """
    with torch.no_grad():
        row_max = probabilities.amax(dim=-1, keepdim=True)
        lower, upper = BAND_FACTORS
        above_lower = (probabilities > lower * row_max).to(probabilities.dtype)
        above_upper = (probabilities > upper * row_max).to(probabilities.dtype)
        base = (probabilities / scale > 0.5).to(probabilities.dtype)
        return base - above_lower, above_lower - above_upper, above_upper


class _BandedMask(Function):
    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, scale: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        ctx.save_for_backward(probabilities, scale, lower, upper)
        base, band1, band2 = band_maps(probabilities, scale)
        return base + lower * band1 + upper * band2

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        probabilities, scale, lower, upper = ctx.saved_tensors
        grad = grad_outputs[0]
        base, band1, band2 = band_maps(probabilities, scale)
        levels = base + lower * band1 + upper * band2
        ratio = probabilities / scale
        inside = (ratio >= 0) & (ratio <= 1)
        grad_input = grad * levels
        grad_scale = -(grad_input * ratio * inside).sum().view_as(scale) / scale
        return grad_input, grad_scale, (grad * band1).sum().view_as(lower), (grad * band2).sum().view_as(upper)


def banded_mask(probabilities: Tensor, scale: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Quantize attention probabilities with a base level and two bands near each row's maximum.

    Forward: ``S = T0 + a2 T1 + a3 T2``, the maps as in `band_maps`; the caller multiplies by ``a``.
    Backward of the product ``a S``: ``dp = g a S``; ``da = sum g S (1 - p/a 1{0 <= p/a <= 1})``;
    ``da2 = sum g a T1``; ``da3 = sum g a T2``; no gradient through the row maximum.

    Args:
        probabilities: softmax output, ``[..., N, M]``; rows are the last axis.
        scale: ``a``, positive scalar.
        lower: ``a2``, scalar.
        upper: ``a3``, scalar; all three are learned.

    Returns:
        ``S``, in the shape of ``probabilities``.

    Source: BHViT's GSB attention variant (docs/models.md, section 5), gradients as in the authors' release.
    """
    result: Tensor = _BandedMask.apply(probabilities, scale, lower, upper)
    return result


class BandedAttention(AttentionEstimator):
    """`banded_mask` with its three learned scalars.

    Attributes:
        scale: effective positive ``a`` (the parameter is ``log_scale``).
        lower: parameter ``a2``, scalar.
        upper: parameter ``a3``, scalar.
    """

    planes = len(BAND_FACTORS) + 1
    flops_per_element = 7  # divide, round, row maximum, and for each of two bands compare and add
    scale = Positive()

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor(INITIAL_CLIP)
        self.lower = nn.Parameter(torch.tensor(1.0))
        self.upper = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Quantized:
        """Return the levels `S` of `banded_mask`, ``[B, H, N, M]``, and the scale ``a``, a scalar."""
        scale = self.scale
        return banded_mask(x, scale, self.lower, self.upper), scale

    def real_value(self, x: Tensor) -> Quantized:
        """Return the probabilities and the factor that gives them the mean of their levels, ``[B, 1, 1, 1]``."""
        return x, mean_ratio(self, x)

    def mask_planes(self, num_heads: int) -> MaskPlanes:
        """The exclusive maps of `band_maps` are differences of nested masks, so their factors are differences too."""
        self.check_enabled()
        scale, lower, upper = (float(p.detach()) for p in (self.scale, self.lower, self.upper))
        factors = for_each_head([scale, scale * (lower - 1.0), scale * (upper - lower)], num_heads)
        rules: Rules = [["greater"]]
        rules += [["row_max", float(c)] for c in BAND_FACTORS]
        return MaskPlanes(rules, factors, first_threshold(factors, 0.5 * scale))
