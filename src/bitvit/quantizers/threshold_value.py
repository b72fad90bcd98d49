"""Values by signs and masks beyond fixed magnitudes: GSB-V with other thresholds than shares of the largest value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.masks import shifted, summed_like, with_signs

_NORMAL = NormalDist()


def gaussian_thresholds(components: int) -> tuple[float, ...]:
    """Return the magnitudes ``q_1 < .. < q_k`` that a Gaussian is best divided at, in standard deviations.

    ``k`` thresholds and ``k + 1`` levels of the magnitude with the smallest squared error: the symmetric quantizer of
    Lloyd and Max with ``2 (k + 1)`` levels. For k = 2 they are 0.66 and 1.45, and the relative squared error is 0.058;
    shares of 0.7 and 0.9 of the largest of many values leave 0.34.

    Args:
        components: k, 0 or more.

    Source: Max, "Quantizing for minimum distortion", IRE Transactions on Information Theory, 1960, Table I.
    """
    levels = [(2 * i + 1) / (components + 1) for i in range(components + 1)]
    edges: list[float] = []
    for _ in range(300):
        edges = [(low + high) / 2 for low, high in itertools.pairwise(levels)]
        bounds = [0.0, *edges, math.inf]
        levels = [
            (_density(low) - _density(high)) / (_NORMAL.cdf(high) - _NORMAL.cdf(low))
            for low, high in itertools.pairwise(bounds)
        ]
    return tuple(edges)


def _density(x: float) -> float:
    return 0.0 if math.isinf(x) else _NORMAL.pdf(x)


class _ThresholdValue(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, scales: Tensor, thresholds: Tensor, offset: Tensor) -> Tensor:
        ctx.save_for_backward(value, scales, thresholds, offset)
        values = shifted(value, -offset)
        magnitude = values.abs()
        total = scales[0].expand_as(values)
        for threshold, scale in zip(thresholds, scales[1:], strict=True):
            total = total + (magnitude > _by_head(threshold)) * scale
        return with_signs(total, values)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        value, scales, thresholds, offset = ctx.saved_tensors
        grad = grad_outputs[0]
        values = shifted(value, -offset)
        magnitude = values.abs()
        by_sign = torch.where(values < 0, -grad, grad)
        share = values.shape[0] / values.numel()
        inside = (magnitude < scales[0]).to(grad.dtype)
        slope = inside
        sums = [by_sign.sum() - (by_sign * inside * magnitude).sum() / scales[0]]
        steps = []
        for threshold, scale in zip(thresholds, scales[1:], strict=True):
            limit = _by_head(threshold)
            mask = (magnitude > limit).to(grad.dtype)
            window = mask * (magnitude < scale)
            sums.append((by_sign * mask).sum() - (by_sign * window * magnitude).sum() / scale)
            slope = slope + mask * (magnitude <= scale)
            near = ((magnitude - limit).abs() < 0.5 * scale).to(grad.dtype)
            steps.append(-(by_sign * near).sum(dim=(0, 2, 3)))
        grad_value = slope * grad
        grad_thresholds = torch.stack(steps) * (share * values.shape[1]) if steps else torch.zeros_like(thresholds)
        return grad_value, torch.stack(sums) * share, grad_thresholds, -summed_like(grad_value, offset)


def _by_head(threshold: Tensor) -> Tensor:
    return threshold.reshape(1, -1, 1, 1)


def threshold_value(value: Tensor, scales: Tensor, thresholds: Tensor, offset: Tensor) -> Tensor:
    """Approximate values by their sign and masked signs beyond fixed magnitudes, each with a learned scale.

    Forward: ``sum_i b_i sign(V) M_i`` with ``M_0 = 1`` and ``M_i = 1{|V| > t_i}``, ``V = value - offset``.

    Backward: to the values and to ``b_i`` as `gsb_value`. A threshold takes the gradient of a step of height ``b_i``
    that rises with slope 1: ``dL/dt_i = -mean(g sign(V) 1{||V| - t_i| < b_i / 2})``, the mean over the N D values of a
    head of one image, summed over images.

    Args:
        value: ``[B, H, N, D]``.
        scales: ``b_0 .. b_k``, positive, ``[k + 1]``.
        thresholds: ``t_1 .. t_k`` of each head, positive, ``[k, H]``.
        offset: Omega, subtracted; broadcasts over ``value``.

    Returns:
        The approximation, same shape.

    Source: GSB Eq. 26 with masks of bitvit's own.
    """
    out: Tensor = _ThresholdValue.apply(value, scales, thresholds, offset)
    return out


@torch.no_grad()
def threshold_levels(value: Tensor, thresholds: Tensor) -> list[Tensor]:
    """Return the mean magnitudes below, between and above the thresholds, those of a band without values being 0.

    Args:
        value: ``V - Omega``, ``[B, H, N, D]``.
        thresholds: ``[k, H]``.
    """
    magnitude = value.abs()
    reached: Sequence[Tensor] = [
        torch.ones_like(magnitude, dtype=torch.bool),
        *(magnitude > _by_head(threshold) for threshold in thresholds),
    ]
    levels = []
    for index, mask in enumerate(reached):
        band = mask & ~reached[index + 1] if index + 1 < len(reached) else mask
        levels.append((magnitude * band).sum() / band.sum().clamp_min(1))
    return levels
