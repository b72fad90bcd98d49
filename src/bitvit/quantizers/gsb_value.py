"""Group superposition binarization of the values V (GSB Eq. 26-34)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers._masks import greater, less, less_equal, signs
from bitvit.quantizers.gsb_attention import scales_of_levels
from bitvit.quantizers.thresholds import component_factors


def value_masks(value: Tensor, factors: tuple[float, ...]) -> list[Tensor]:
    """Masks ``M_i = 1{V > c_i vmax or V < c_i vmin}`` as 0.0 and 1.0, without a gradient.

    vmax and vmin are the extremes over everything of one image.
    """
    value = value.detach()
    axes = tuple(range(1, value.dim()))
    largest = value.amax(dim=axes, keepdim=True)
    smallest = value.amin(dim=axes, keepdim=True)
    # For an image of one sign only, one of the two conditions holds nowhere; they never hold together.
    return [greater(value, factor * largest).add_(less(value, factor * smallest)) for factor in factors]


class _GsbValue(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, scales: Tensor, factors: tuple[float, ...]) -> Tensor:
        masks = value_masks(value, factors)
        ctx.save_for_backward(value, scales, *masks)
        magnitude = torch.empty_like(value).copy_(scales[0])
        for mask, scale in zip(masks, scales[1:], strict=True):
            magnitude.addcmul_(mask, scale)
        return magnitude.mul_(signs(value))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        value, scales, *masks = ctx.saved_tensors
        grad = grad_outputs[0]
        magnitude = value.abs()
        grad_by_sign = signs(value).mul_(grad)
        inside = less(magnitude, scales[0])
        scale_sums = [_scale_sum(grad_by_sign, magnitude, inside, scales[0])]
        grad_value = inside
        for mask, scale in zip(masks, scales[1:], strict=True):
            inside = less(magnitude, scale)
            scale_sums.append(_scale_sum(grad_by_sign * mask, magnitude, inside, scale))
            # Eq. 31 excludes the bounds |V| = b, Eq. 32 includes them.
            grad_value.addcmul_(less_equal(magnitude, scale), mask)
        grad_scales = torch.stack(scale_sums) * (value.shape[0] / value.numel())
        return grad_value.mul_(grad), grad_scales, None


def _scale_sum(grad_by_sign: Tensor, magnitude: Tensor, inside: Tensor, scale: Tensor) -> Tensor:
    """Sum of Eq. 29's terms: ``sign(V) - V / b = sign(V) (1 - |V| / b)`` inside the window, ``sign(V)`` outside."""
    return torch.sum(grad_by_sign) - torch.sum((inside * magnitude).mul_(grad_by_sign)) / scale


def gsb_value(value: Tensor, scales: Tensor, factors: tuple[float, ...] | None = None) -> Tensor:
    """Approximate values by their sign and k masked signs, each with a learned scale.

    Forward: ``sum_i b_i sign(V) M_i`` with ``M_0 = 1`` and ``M_i = 1{V > c_i vmax or V < c_i vmin}``; vmax and vmin are
    the extremes of one image's V over heads, tokens and channels, and take no gradient.

    Backward (g = dL/dy, V^i = V M_i): ``dL/dV = g (1{-1 < V/b_0 < 1} + sum_{i>0} 1{-1 <= V/b_i <= 1} M_i)``;
    ``dL/db_i = mean(g M_i (sign(V) - V/b_i 1{-1 < V/b_i < 1}))``, the mean over one image's H N D values, summed over
    images.

    Args:
        value: ``V - Omega`` (Eq. 27), ``[B, H, N, D]``.
        scales: ``b_0 .. b_k``, positive, ``[k + 1]``.
        factors: ``c_1 .. c_k``; by default ``0.5 + 0.4 i / k``.

    Returns:
        The approximation, same shape.

    Source: GSB Eq. 26-32. The authors' release takes the extremes over the whole batch.
    """
    if factors is None:
        factors = component_factors(scales.numel() - 1)
    out: Tensor = _GsbValue.apply(value, scales, factors)
    return out


def value_components(value: Tensor, factors: tuple[float, ...]) -> Tensor:
    """The unscaled components ``sign(V) M_i``, i = 0..k, in {-1, 0, +1}, stacked: ``[k + 1, B, H, N, D]``, no
    gradient."""
    with torch.no_grad():
        first = signs(value)
        return torch.stack([first, *(first * mask for mask in value_masks(value, factors))])


def fit_value_scales(value: Tensor, factors: tuple[float, ...]) -> Tensor:
    """Initial scales from data: the least-squares solution of Eq. 33.

    ``b_i = mean of |V| in the band M_i \\ M_{i+1} - (b_0 + .. + b_{i-1})``, the last band is M_k. A band without
    values, or one whose mean is not above the sum before it, gives the smallest allowed scale, never NaN.

    Args:
        value: ``V - Omega`` of the calibration images, ``[B, H, N, D]``.
        factors: ``c_1 .. c_k``.

    Returns:
        ``[k + 1]`` positive scales.

    Source: GSB Eq. 33 and 34 (the alphas in Eq. 34 are misprints for betas; the counts are of the masks' elements).
    """
    with torch.no_grad():
        magnitude = value.abs()
        masks = [torch.ones_like(value), *value_masks(value, factors)]
        levels = []
        for index, mask in enumerate(masks):
            band = mask - masks[index + 1] if index + 1 < len(masks) else mask
            levels.append(torch.sum(band * magnitude) / band.sum().clamp_min(1))
        return scales_of_levels(levels)
