"""The quantizers of the GSB release, with its gradients; variants that only its checkpoints need.

They differ from `bitvit.quantizers` in that sign(0) is 0, in how gradients of scales are averaged (``1 / sqrt(n)`` of
the elements concerned, over the whole batch) and in the thresholds of attention and values. A scale at or below 1e-5
counts as 1e-5 (`bitvit.quantizers.Positive`). Source: MODELS section 2, end; golden data.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

Scope = Literal["batch", "image"]
"""Over which values a maximum is taken: the whole batch, as the release does, or each image."""

FACTORS = (0.7, 0.9)
"""Thresholds of the two components, as fractions of the maximum."""


def _extreme(x: Tensor, scope: Scope, largest: bool) -> Tensor:
    dims = tuple(range(0 if scope == "batch" else 1, x.dim()))
    return x.amax(dim=dims, keepdim=True) if largest else x.amin(dim=dims, keepdim=True)


def _scale_gradient(terms: Tensor, scale: Tensor, count: float) -> Tensor:
    return terms.sum_to_size(scale.shape) / math.sqrt(max(count, 1.0))


class _ElasticSign(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, scale)
        return scale * torch.sign(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        x, scale = ctx.saved_tensors
        grad, ratio = grad_outputs[0], x / scale
        inside = ratio.abs() <= 1
        terms = grad * (torch.sign(x) - ratio * inside)
        return grad * inside, _scale_gradient(terms, scale, x.numel())


def elastic_sign(x: Tensor, scale: Tensor) -> Tensor:
    """``s sign(x)``, sign(0) = 0.

    Backward: ``1{|x/s| <= 1}`` to x; ``(sign(x) - x/s 1{|x/s| <= 1}) / sqrt(numel)`` to s.
    """
    result: Tensor = _ElasticSign.apply(x, scale)
    return result


class _ElasticSteps(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.range = low, high
        return scale * torch.round(x / scale).clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, scale = ctx.saved_tensors
        low, high = ctx.range
        grad, ratio = grad_outputs[0], x / scale
        inside = (ratio >= low) & (ratio <= high)
        terms = grad * (torch.round(ratio).clamp(low, high) - ratio * inside)
        return grad * inside, _scale_gradient(terms, scale, x.numel() * high), None, None


def elastic_steps(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """``s clip(round(x/s), low, high)``: (0, 1) for bits of non-negative values, (-128, 127) for 8 bits.

    Backward: ``1{low <= x/s <= high}`` to x; ``clip(round(x/s)) - x/s`` inside and the bound outside, over
    ``sqrt(numel high)``, to s, where numel counts the whole of x even when s is per channel.
    """
    result: Tensor = _ElasticSteps.apply(x, scale, low, high)
    return result


class _Bands(Function):
    """``u0 base(x) + u1 T1 + u2 T2`` with the gradients that attention and values share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: Tensor, signed: bool, scope: Scope, exclusive: bool) -> Tensor:
        band1, band2 = band_masks(x, signed, scope)
        ctx.save_for_backward(x, scales, band1, band2)
        ctx.signed = signed
        a0, a1, a2 = scales.unbind()
        if exclusive:
            a1, a2 = a1 - a0, a2 - a1
        if signed:
            return torch.sign(x) * (a0 + a1 * band1 + a2 * band2)
        return a0 * (x / a0 > 0.5) + a1 * band1 + a2 * band2

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x, scales, band1, band2 = ctx.saved_tensors
        grad, ratio = grad_outputs[0], x / scales[0]
        weighted = grad
        if ctx.signed:
            weighted = grad * torch.sign(x)
            windows = sum((mask * x).abs() < a for mask, a in zip((1, band1, band2), scales.unbind(), strict=True))
            inside, base = ratio.abs() <= 1, torch.sign(x)
            grad_input = grad * windows
        else:
            inside, base = (ratio >= 0) & (ratio <= 1), (ratio > 0.5).to(x.dtype)
            grad_input = grad * (inside + scales[1] * band1 + scales[2] * band2)
        grads = [_scale_gradient(grad * (base - ratio * inside), scales[0], x.numel())]
        grads += [_scale_gradient(weighted * band, scales[0], float(band.sum())) for band in (band1, band2)]
        return grad_input, torch.stack(grads), None, None, None


def band_masks(x: Tensor, signed: bool, scope: Scope) -> tuple[Tensor, Tensor]:
    """Return the masks {0, 1} of values beyond 0.7 and 0.9 of the maximum (signed: or of the minimum), no gradient."""
    with torch.no_grad():
        largest = _extreme(x, scope, True)
        masks = []
        for factor in FACTORS:
            mask = x > factor * largest
            if signed:
                mask = mask | (x < factor * _extreme(x, scope, False))
            masks.append(mask.to(x.dtype))
        return masks[0], masks[1]


def release_attention(x: Tensor, scales: Tensor, scope: Scope, exclusive: bool = False) -> Tensor:
    """``a0 1{x/a0 > 0.5} + a1 T1 + a2 T2`` with ``T_i = 1{x > c_i max(x)}``, c = 0.7 and 0.9.

    Backward: ``1{0 <= x/a0 <= 1} + a1 T1 + a2 T2`` to x; to a0 as `elastic_steps`; to a_i ``T_i / sqrt(sum T_i)``.

    Args:
        x: attention plus its offset, ``[B, H, N, N]``. scales: ``[3]``, positive. scope: of the maximum.
        exclusive: the first forward pass of the release, in which level i replaces level i - 1 instead of adding to it.
    """
    result: Tensor = _Bands.apply(x, scales, False, scope, exclusive)
    return result


def release_value(x: Tensor, scales: Tensor, scope: Scope, exclusive: bool = False) -> Tensor:
    """``sign(x) (b0 + b1 T1 + b2 T2)`` with ``T_i = 1{x > c_i max(x) or x < c_i min(x)}``, c = 0.7 and 0.9.

    Backward: the number of windows ``|x| < b0``, ``|x T1| < b1``, ``|x T2| < b2`` to x; to b0 as `elastic_sign`; to b_i
    ``sign(x) T_i / sqrt(sum T_i)``. Arguments as of `release_attention`.
    """
    result: Tensor = _Bands.apply(x, scales, True, scope, exclusive)
    return result


@torch.no_grad()
def initial_band_scales(x: Tensor, signed: bool, scope: Scope) -> Tensor:
    """Return the release's initial scales ``[3]``: means of ``|x|``, four times for attention, twice for values.

    Of the two bands each without the next, and of all elements for attention, of those below both bands for values. An
    empty band takes the level below.
    """
    band1, band2 = (mask.bool() for mask in band_masks(x, signed, scope))
    factor, base = (2.0, ~band1) if signed else (4.0, torch.ones_like(band1))
    scales: list[Tensor] = []
    for mask in (base, band1 & ~band2, band2):
        chosen = x[mask].abs()
        scales.append(factor * chosen.mean() if chosen.numel() else scales[-1] if scales else x.new_ones(()))
    return torch.stack(scales)
