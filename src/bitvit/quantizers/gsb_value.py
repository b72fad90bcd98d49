"""Group superposition binarization of the values V (GSB Eq. 26-34)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import Quantized, ValueEstimator
from bitvit.quantizers.gsb_attention import (
    SIGNED_START,
    InitialScales,
    alive,
    multiples_of_levels,
    scales_of_levels,
)
from bitvit.quantizers.masks import greater, inner, less, less_equal, shifted, signs, summed_like, with_signs
from bitvit.quantizers.packed_forms import ValuePlanes
from bitvit.quantizers.positive import MIN_SCALE, Positive
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.scale_gradients import Gradients, averaged_as
from bitvit.quantizers.threshold_value import gaussian_thresholds, threshold_levels, threshold_value
from bitvit.quantizers.thresholds import component_factors
from bitvit.quantizers.whole_operators import gradient_shapes, whole_on_cpu


def _extremes(value: Tensor) -> tuple[Tensor, Tensor]:
    axes = tuple(range(1, value.dim()))
    return value.amax(dim=axes, keepdim=True), value.amin(dim=axes, keepdim=True)


def _mask(value: Tensor, factor: float, extremes: tuple[Tensor, Tensor]) -> Tensor:
    largest, smallest = extremes
    # For an image of one sign only, one of the two conditions holds nowhere; they never hold together.
    return greater(value, factor * largest).add_(less(value, factor * smallest))


def value_masks(value: Tensor, factors: tuple[float, ...]) -> list[Tensor]:
    """Return masks ``M_i = 1{V > c_i vmax or V < c_i vmin}`` as 0.0 and 1.0, without a gradient.

    vmax and vmin are the extremes over everything of one image.
    """
    extremes = _extremes(value.detach())
    return [_mask(value.detach(), factor, extremes) for factor in factors]


def _forward_shapes(value: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    extreme = [value.new_empty((value.shape[0], *[1] * (value.dim() - 1))) for _ in range(2)]
    return torch.empty_like(value, memory_format=torch.contiguous_format), extreme[0], extreme[1]


@whole_on_cpu("gsb_value", _forward_shapes)
def _forward(
    value: Tensor, scales: Tensor, offset: Tensor | None, factors: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the approximation and the extremes."""
    values = shifted(value, None if offset is None else -offset)
    extremes = _extremes(values)
    magnitude = scales[0].expand_as(values)
    for factor, scale in zip(factors, scales[1:], strict=True):
        magnitude = torch.addcmul(magnitude, _mask(values, factor, extremes), scale)
    return with_signs(magnitude, values, out=values), *extremes


@whole_on_cpu("gsb_value_backward", gradient_shapes)
def _backward(
    grad: Tensor,
    value: Tensor,
    scales: Tensor,
    offset: Tensor | None,
    largest: Tensor,
    smallest: Tensor,
    factors: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the values and of the scales."""
    values = shifted(value, None if offset is None else -offset)
    grad = grad.contiguous()
    by_sign = with_signs(values.new_ones(()), values).mul_(grad)
    magnitude = values.abs()
    slope = less(magnitude, scales[0])
    scale_sums = [torch.sum(by_sign) - inner(slope * magnitude, by_sign) / scales[0]]
    buffer = None
    for factor, scale in zip(factors, scales[1:], strict=True):
        mask = _mask(values, factor, (largest, smallest))
        total = inner(mask, by_sign)
        # |V| sign(V) g M inside the window, which for the scale excludes the bounds (Eq. 29, 31).
        buffer = less(magnitude, scale, buffer).mul_(mask).mul_(magnitude)
        scale_sums.append(total - inner(buffer, by_sign) / scale)
        # For the values the window includes the bounds (Eq. 32).
        slope.add_(less_equal(magnitude, scale, buffer).mul_(mask))
    return slope.mul_(grad).contiguous(), torch.stack(scale_sums) * (values.shape[0] / values.numel())


class _GsbValue(Function):
    """Saves its inputs and the extremes; recomputing signs and masks from them is cheaper than storing them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scales: Tensor, offset: Tensor | None, factors: tuple[float, ...]) -> Tensor:
        out, largest, smallest = _forward(value, scales, offset, factors)
        ctx.save_for_backward(value, scales, offset, largest, smallest)
        ctx.factors = factors
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        value, scales, offset, largest, smallest = ctx.saved_tensors
        grad_value, grad_scales = _backward(grad_outputs[0], value, scales, offset, largest, smallest, ctx.factors)
        grad_offset = None
        if offset is not None and ctx.needs_input_grad[2]:
            grad_offset = summed_like(grad_value, offset).neg_()
        return grad_value, grad_scales, grad_offset, None


def gsb_value(
    value: Tensor, scales: Tensor, factors: tuple[float, ...] | None = None, offset: Tensor | None = None
) -> Tensor:
    """Approximate values by their sign and k masked signs, each with a learned scale.

    Forward: ``sum_i b_i sign(V) M_i`` with ``M_0 = 1`` and ``M_i = 1{V > c_i vmax or V < c_i vmin}``; vmax and vmin are
    the extremes of one image's V over heads, tokens and channels, and take no gradient.

    Backward (g = dL/dy, V^i = V M_i): ``dL/dV = g (1{-1 < V/b_0 < 1} + sum_{i>0} 1{-1 <= V/b_i <= 1} M_i)``;
    ``dL/db_i = mean(g M_i (sign(V) - V/b_i 1{-1 < V/b_i < 1}))``, the mean over one image's H N D values, summed over
    images.

    Args:
        value: ``V - Omega`` (Eq. 27), ``[B, H, N, D]``; or V, where ``offset`` is given.
        scales: ``b_0 .. b_k``, positive, ``[k + 1]``.
        factors: ``c_1 .. c_k``; by default ``0.5 + 0.4 i / k``.
        offset: Omega, subtracted first; broadcasts over ``value``.

    Returns:
        The approximation, same shape.

    Source: GSB Eq. 26-32. The authors' release takes the extremes over the whole batch.
    """
    if factors is None:
        factors = component_factors(scales.numel() - 1)
    out: Tensor = _GsbValue.apply(value, scales, offset, factors)
    return out


def value_components(value: Tensor, factors: tuple[float, ...]) -> Tensor:
    """Return the unscaled components ``sign(V) M_i``, i = 0..k, in {-1, 0, +1}: ``[k + 1, B, H, N, D]``.

    They take no gradient.
    """
    with torch.no_grad():
        first = signs(value)
        return torch.stack([first, *(first * mask for mask in value_masks(value, factors))])


def fit_value_scales(value: Tensor, factors: tuple[float, ...]) -> Tensor:
    r"""Return initial scales from data: the least-squares solution of Eq. 33.

    ``b_i = mean of |V| in the band M_i \ M_{i+1} - (b_0 + .. + b_{i-1})``, the last band is M_k. A band without
    values, or one whose mean is not above the sum before it, gives the smallest allowed scale, never NaN.

    Args:
        value: ``V - Omega`` of the calibration images, ``[B, H, N, D]``.
        factors: ``c_1 .. c_k``.

    Returns:
        ``[k + 1]`` positive scales.

    Source: GSB Eq. 33 and 34 (the alphas in Eq. 34 are misprints for betas; the counts are of the masks' elements).
    """
    return scales_of_levels(value_levels(value, factors))


def value_levels(value: Tensor, factors: tuple[float, ...]) -> list[Tensor]:
    """Return the mean of ``|V|`` in each band, 0 in one without values. Arguments as of `fit_value_scales`."""
    with torch.no_grad():
        magnitude = value.abs()
        masks = [torch.ones_like(value), *value_masks(value, factors)]
        levels = []
        for index, mask in enumerate(masks):
            band = mask - masks[index + 1] if index + 1 < len(masks) else mask
            levels.append(torch.sum(band * magnitude) / band.sum().clamp_min(1))
        return levels


ValueThresholds = Literal["paper", "quantile", "learned"]
"""Where the masks of the values begin: at shares of an image's largest and smallest value (Eq. 27), at the Gaussian's
best thresholds times each head's standard deviation, or at learned magnitudes of each head."""

_MOMENTUM = 0.1


class GsbValue(ValueEstimator):
    """`gsb_value` of ``V - Omega`` with learned scales and offset.

    Args:
        num_heads: heads H.
        head_dim: channels of a head D.
        components: extra components k_v (Table VI), 0 or more.
        thresholds: ``"paper"``: as Eq. 27. ``"quantile"`` and ``"learned"``: `threshold_value`, with ``t_i = q_i
            sigma_h`` (`gaussian_thresholds`; sigma_h a running standard deviation of the head's values, as that of a
            BatchNorm), or with learned ``t_i`` that start there. The packed form and its cost are the same.
        initial: first values of the scales.
        gradients: ``"release"`` averages the scales' gradients as the release does, and counts the window of each extra
            component as open outside its mask, so that V gets ``(window + k) g`` nearly everywhere.

    Attributes:
        omega: parameter ``[H, 1, D]``, subtracted, initially 0.
        scales: effective positive ``b_0 .. b_k`` (the parameter is ``log_scales``).
        factors: ``c_1 .. c_k``, or ``q_1 .. q_k``.
        thresholds: effective positive ``t_i``, ``[k, H]``, where they are learned (the parameter is
            ``log_thresholds``).
        spread: buffer ``[H]``, sigma_h, where the thresholds are quantiles.

    Source: GSB Eq. 26-34.
    """

    scales = Positive()
    thresholds = Positive()

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        components: int = 2,
        thresholds: ValueThresholds = "paper",
        *,
        initial: InitialScales = "fitted",
        gradients: Gradients = "paper",
    ) -> None:
        super().__init__()
        self.initial, self.gradients = initial, gradients
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.kind: ValueThresholds = thresholds
        self.factors = component_factors(components) if thresholds == "paper" else gaussian_thresholds(components)
        self.planes = components + 1
        # Shift, divide and round; for each component, the first included, two limits, mask and scale.
        self.flops_per_element = 3 + 4 * self.planes
        self.omega = nn.Parameter(torch.zeros(num_heads, 1, head_dim))
        self.scales = torch.ones(components + 1)
        if thresholds == "learned":
            self.thresholds = torch.tensor(self.factors).reshape(-1, 1).repeat(1, num_heads)
        if thresholds == "quantile":
            self.register_buffer("spread", torch.ones(num_heads))

    def limits(self) -> Tensor:
        """Return the magnitudes ``[k, H]`` at which the masks begin, where they are no shares of extremes."""
        if self.kind == "learned":
            return self.thresholds
        spread = self.get_buffer("spread")
        # No tensor is made of the factors: copying it to a GPU in every step could not be captured in a CUDA graph.
        limits = [factor * spread for factor in self.factors]
        return torch.stack(limits) if limits else spread.new_zeros((0, *spread.shape))

    def forward(self, x: Tensor) -> Quantized:
        """Return the approximation, ``[B, H, N, D]``; its scales are already applied."""
        x = at_least_float32(x)
        scales = averaged_as(self.gradients, self.scales, x)
        if self.kind == "paper":
            y = gsb_value(x, scales, self.factors, self.omega)
            return (y + self._open_windows(x) if self.gradients == "release" else y), None
        if self.kind == "quantile" and self.training:
            with torch.no_grad():
                self.get_buffer("spread").lerp_(_deviations(x - self.omega), _MOMENTUM)
        return threshold_value(x, scales, self.limits(), self.omega), None

    def _open_windows(self, x: Tensor) -> Tensor:
        """Return 0, with the gradient ``sum_i (1 - M_i)`` to ``V - Omega``."""
        values = x - self.omega
        passed = values * sum(1 - mask for mask in value_masks(values, self.factors))
        return passed - passed.detach()

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``V - Omega``."""
        return at_least_float32(x) - self.omega, None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set thresholds and, by Eq. 34, scales from values ``[B, H, N, D]``; no scale too small to live (`alive`)."""
        values = at_least_float32(x) - self.omega
        if self.initial == "release":
            self.scales = multiples_of_levels(value_levels(values, self.factors), SIGNED_START)
            return
        if self.kind == "paper":
            self.scales = alive(fit_value_scales(values, self.factors))
            return
        spread = _deviations(values)
        if self.kind == "quantile":
            self.get_buffer("spread").copy_(spread)
        else:
            self.thresholds = spread.new_tensor(self.factors).reshape(-1, 1) * spread
        self.scales = alive(scales_of_levels(threshold_levels(values, self.limits())))

    def value_planes(self) -> ValuePlanes:
        """Return the shift ``-Omega``, ``[H D]``, the scales ``b_0 .. b_k`` and the factors ``c_1 .. c_k``."""
        self.check_enabled()
        shift, scales = -self.omega.detach().reshape(-1), self.scales.detach().float()
        if self.kind == "paper" or not self.factors:
            return ValuePlanes(shift, scales, [float(c) for c in self.factors])
        return ValuePlanes(shift, scales, [1.0] * len(self.factors), thresholds=self.limits().detach().float())

    def extra_repr(self) -> str:
        """Return the arguments that ``repr`` shows."""
        kind = "" if self.kind == "paper" else f", thresholds={self.kind}"
        return f"heads={self.num_heads}, head_dim={self.head_dim}, components={len(self.factors)}{kind}"


def _deviations(values: Tensor) -> Tensor:
    """Return the root mean square of each head's values, ``[H]``, at least `MIN_SCALE`."""
    return values.square().mean(dim=(0, 2, 3)).sqrt().clamp_min(MIN_SCALE)
