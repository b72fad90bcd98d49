"""The quantizers of the GSB release, with its gradients; variants that only its checkpoints need.

They differ from `bitvit.quantizers` in that sign(0) is 0, in how gradients of scales are averaged (``1 / sqrt(n)`` of
the elements concerned, over the whole batch) and in the thresholds of attention and values. A scale at or below 1e-5
counts as 1e-5 (`bitvit.quantizers.MIN_SCALE`). Source: docs/models.md, section 2, end; golden data.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import ActivationEstimator, AttentionEstimator, Quantized, WeightEstimator
from bitvit.quantizers.gsb_value import GsbValue
from bitvit.quantizers.learned_scale import LearnedSign
from bitvit.quantizers.learned_step import INT8_MAX, INT8_MIN, LearnedStepWeight, StepActivation, by_channel
from bitvit.quantizers.packed_forms import MaskPlanes, Rules, first_threshold, for_each_head
from bitvit.quantizers.positive import Positive

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
        x: attention plus its offset, ``[B, H, N, N]``.
        scales: ``[3]``, positive.
        scope: of the maximum.
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


class _WeightSigns(Function):
    """Signs whose product with ``scale`` takes the identity as its gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(scale)
        return torch.sign(weight - weight.mean())

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return grad_outputs[0] / scale, None


class ReleaseWeight(WeightEstimator):
    """``mean|W| sign(W - mean W)`` over the whole tensor, sign(0) = 0; gradient of the product: identity."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]``, 0 where a weight is the mean, and the scale, a scalar."""
        scale = x.detach().abs().mean()
        return _WeightSigns.apply(x, scale), scale

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``W - mean(W)``."""
        return x - x.mean(), None


class ReleaseSign(LearnedSign):
    """`LearnedSign` with `elastic_sign`; the scale starts at 2 mean|x|."""

    start = 2

    def forward(self, x: Tensor) -> Quantized:
        """Return `elastic_sign` of ``x + shift``; its scale is already applied."""
        return elastic_sign(x + self.shift, self.scale), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the scale as the release's first forward pass does."""
        self.scale = self.start * (x + self.shift).abs().mean()


class ReleaseRound(ReleaseSign):
    """`bitvit.quantizers.LearnedRound` with `elastic_steps`; the scale starts at 4 mean|x|."""

    rounds = True
    start = 4

    def forward(self, x: Tensor) -> Quantized:
        """Return 0 or the scale, by `elastic_steps` of ``x + shift``."""
        return elastic_steps(x + self.shift, self.scale, 0, 1), None


class ReleaseShift(ActivationEstimator):
    """The real, shifted input of the release's stage 1: ``x + shift``, ``[K]``."""

    bits = 32

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Quantized:
        """Return ``x + shift``."""
        return x + self.shift, None

    def set_activation_binarization(self, enabled: bool) -> None:
        """The shift is in use in both stages."""


class ReleaseStepWeight(LearnedStepWeight):
    """`LearnedStepWeight` with gradients averaged over the whole weight; steps start at 2 mean|W| / sqrt(127)."""

    def forward(self, x: Tensor) -> Quantized:
        """Return `elastic_steps` of the weights, ``[O, ...]``; the steps are already applied."""
        return elastic_steps(x, by_channel(self.step, x), INT8_MIN, INT8_MAX), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set all steps as the release's first forward pass does."""
        self.step = (2 * x.abs().mean() / math.sqrt(INT8_MAX)).expand_as(self.step)


class ReleaseStepActivation(StepActivation):
    """`StepActivation` with the release's gradient and first step, 2 mean|x| / sqrt(127)."""

    def forward(self, x: Tensor) -> Quantized:
        """Return `elastic_steps` of ``x + shift``; the step is already applied."""
        return elastic_steps(x + self.shift, self.step, INT8_MIN, INT8_MAX), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the step as the release's first forward pass does."""
        self.step = 2 * (x + self.shift).abs().mean() / math.sqrt(INT8_MAX)


class ReleaseAttention(AttentionEstimator):
    """`release_attention` of ``A - Phi``: thresholds from the maximum of the batch, or of each image.

    Args:
        num_heads: heads H.
        num_tokens: tokens N.

    Attributes:
        offset: parameter Phi ``[H, N, N]``, subtracted.
        scales: effective positive ``a_0 .. a_2`` (the parameter is
            ``log_scales``).
        threshold_scope: ``"batch"`` reproduces the release, in which an image's logits depend on its batch; ``"image"``
            gives each image the logits that it has alone. A packed engine only has the latter.
    """

    planes = len(FACTORS) + 1
    flops_per_element = 3 + 1 + 2 * len(FACTORS)  # as of GSB attention
    scales = Positive()
    factors = FACTORS
    threshold_scope: Scope = "batch"
    _first_pass = False

    def __init__(self, num_heads: int, num_tokens: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_tokens = num_tokens
        self.scales = torch.full((self.planes,), 1.0 / num_tokens)
        self.offset = nn.Parameter(torch.zeros(num_heads, num_tokens, num_tokens))

    def forward(self, x: Tensor) -> Quantized:
        """Return `release_attention`, ``[B, H, N, N]``; the first call takes exclusive bands, as in the release."""
        first, self._first_pass = self._first_pass, False
        return release_attention(x - self.offset, self.scales, self.threshold_scope, exclusive=first), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the scales as the release's first forward pass does; the pass under way uses that pass's levels."""
        self.scales = initial_band_scales(x - self.offset, False, self.threshold_scope)
        self._first_pass = True

    def mask_planes(self, num_heads: int) -> MaskPlanes:
        """Masks relative to the maximum of the whole image."""
        self.check_enabled()
        scales = self.scales.detach().double().tolist()
        factors = for_each_head(scales, num_heads)
        rules: Rules = [["greater"]]
        rules += [["image_max", float(c)] for c in FACTORS]
        return MaskPlanes(rules, factors, first_threshold(factors, 0.5 * scales[0]), self.offset.detach().float())


class ReleaseValue(GsbValue):
    """`GsbValue` with `release_value`; see `ReleaseAttention` for the scope of thresholds."""

    threshold_scope: Scope = "batch"
    _first_pass = False

    def forward(self, x: Tensor) -> Quantized:
        """Return `release_value`, ``[B, H, N, D]``; the first call of all takes exclusive bands, as in the release."""
        first, self._first_pass = self._first_pass, False
        return release_value(x - self.omega, self.scales, self.threshold_scope, exclusive=first), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the scales as the release's first forward pass does; the pass under way uses that pass's levels."""
        self.scales = initial_band_scales(x - self.omega, True, self.threshold_scope)
        self._first_pass = True
