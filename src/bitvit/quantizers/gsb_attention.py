"""Group superposition binarization of attention (GSB Eq. 9-25)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.compiler import is_compiling as compiling

from bitvit.quantizers.estimator import AttentionEstimator, Quantized
from bitvit.quantizers.integer_offset import fake_integer_offset, quantize_offset
from bitvit.quantizers.masks import between, greater, inner, less, signs, summed_like
from bitvit.quantizers.packed_forms import MaskPlanes, Rules, first_threshold, for_each_head
from bitvit.quantizers.positive import MIN_SCALE, Positive
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.scale_gradients import Gradients, averaged_as
from bitvit.quantizers.thresholds import component_factors
from bitvit.quantizers.whole_operators import gradient_shapes, whole_on_cpu

AttentionBase = Literal["round", "sign", "mask"]
"""What A_bin is: Eq. 11 (``"round"``), a sign (Table V), or a mask above half the row's maximum (Table VIII)."""

BASE_FACTOR = 0.5
"""Coefficient c_0 of the base component when it is a mask."""


def _forward_shapes(attention: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    out = torch.empty_like(attention, memory_format=torch.contiguous_format)
    return out, attention.new_empty((*attention.shape[:-1], 1))


@whole_on_cpu("gsb_attention", _forward_shapes)
def _forward(
    attention: Tensor, scales: Tensor, offset: Tensor | None, factors: Sequence[float], base: str
) -> tuple[Tensor, Tensor]:
    """Return the approximation and the row maxima."""
    values = attention if offset is None else attention - offset
    row_max = values.amax(dim=-1, keepdim=True)
    out = _base_map(values, scales[0], row_max, base).mul_(scales[0])
    mask = None
    for factor, scale in zip(factors, scales[1:], strict=True):
        mask = greater(values, factor * row_max, mask)
        out.addcmul_(mask, scale)
    return out.contiguous(), row_max.contiguous()


@whole_on_cpu("gsb_attention_backward", gradient_shapes)
def _backward(
    grad: Tensor,
    attention: Tensor,
    scales: Tensor,
    offset: Tensor | None,
    row_max: Tensor,
    factors: Sequence[float],
    base: str,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of ``A_t`` and of the scales."""
    values = attention if offset is None else attention - offset
    # Products and reductions need one layout; a gradient may come as a broadcast view.
    grad = grad.contiguous()
    base_scale = scales[0]
    mask = _base_map(values, base_scale, row_max, base)
    scale_sums = [inner(grad, mask)]
    if base == "mask":
        slope = _below(values, BASE_FACTOR * row_max, row_max, mask) * base_scale
    else:
        slope = between(values, base_scale) if base == "round" else less(values.abs(), base_scale)
        scale_sums[0] = scale_sums[0] - inner(grad, slope * values) / base_scale
    for factor, scale in zip(factors, scales[1:], strict=True):
        threshold = factor * row_max
        mask = greater(values, threshold, mask)
        scale_sums.append(inner(grad, mask))
        slope.addcmul_(_below(values, threshold, row_max, mask), scale)
    grad_values = slope.mul_(grad)
    return grad_values.contiguous(), torch.stack(scale_sums) * (values.shape[0] / values.numel())


class _GsbAttention(Function):
    """Saves its inputs and the row maxima; recomputing the masks from them is cheaper than storing them."""

    @staticmethod
    def forward(
        ctx: Any,
        attention: Tensor,
        scales: Tensor,
        offset: Tensor | None,
        factors: tuple[float, ...],
        base: AttentionBase,
    ) -> Tensor:
        out, row_max = _forward(attention, scales, offset, factors, base)
        ctx.save_for_backward(attention, scales, offset, row_max)
        ctx.factors, ctx.base = factors, base
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        attention, scales, offset, row_max = ctx.saved_tensors
        grad_values, grad_scales = _backward(grad_outputs[0], attention, scales, offset, row_max, ctx.factors, ctx.base)
        grad_offset = None
        if offset is not None and ctx.needs_input_grad[2]:
            grad_offset = summed_like(grad_values, offset).neg_()
        return grad_values, grad_scales, grad_offset, None, None


def _below(values: Tensor, threshold: Tensor, row_max: Tensor, mask: Tensor) -> Tensor:
    """``mask * 1{values < threshold + 1}``, the upper end of a window that starts at ``threshold``."""
    upper = threshold + 1
    # Attention is at most 1 and thresholds are rarely negative, so this end is rarely reached. Only a CPU may be asked.
    if not compiling() and values.device.type == "cpu" and bool((row_max < upper).all()):
        return mask
    return less(values, upper).mul_(mask)


def _base_map(values: Tensor, base_scale: Tensor, row_max: Tensor, base: str) -> Tensor:
    """``A_bin`` as 0.0 and 1.0, or -1.0 and 1.0 for the sign."""
    if base == "round":
        return greater(values, 0.5 * base_scale)
    return greater(values, BASE_FACTOR * row_max) if base == "mask" else signs(values)


def gsb_attention(
    attention: Tensor,
    scales: Tensor,
    factors: tuple[float, ...] | None = None,
    base: AttentionBase = "round",
    offset: Tensor | None = None,
) -> Tensor:
    """Approximate attention by a base map and k masks, each with a learned scale.

    Forward: ``a_0 A_bin + sum_i a_i M_i`` with ``A_bin = 1{A_t / a_0 > 0.5}`` and ``M_i = 1{A_t > c_i rowmax(A_t)}``,
    both strict; rowmax is over the last axis and takes no gradient. Base ``"sign"``: ``A_bin = sign(A_t)``; base
    ``"mask"``: ``A_bin = 1{A_t > 0.5 rowmax(A_t)}``.

    Backward (g = dL/dy, Theta_i = c_i rowmax):
    ``dL/dA_t = g (1{0 < A_t/a_0 < 1} + sum_i a_i 1{0 < A_t - Theta_i < 1})``;
    ``dL/da_0 = mean(g (A_bin - A_t/a_0 1{0 < A_t/a_0 < 1}))``, ``dL/da_i = mean(g M_i)``, means over one image's H N M
    values, summed over images. Base ``"sign"``: the window is ``|A_t/a_0| < 1``, as Eq. 29 and 31; base ``"mask"``: a_0
    is treated as a_i.

    Args:
        attention: ``A_t = softmax - Phi`` (Eq. 9), ``[B, H, N, M]``; or the softmax, where ``offset`` is given.
        scales: ``a_0 .. a_k``, positive, ``[k + 1]``.
        factors: ``c_1 .. c_k``; by default ``0.5 + 0.4 i / k``.
        base: definition of ``A_bin``.
        offset: Phi, subtracted first; broadcasts over ``attention``.

    Returns:
        The approximation, same shape.

    Source: GSB Eq. 10-20; Tables V and VIII for the other bases. The authors' release takes the maximum over the whole
    batch, and its gradients differ (docs/models.md, section 2).
    """
    if factors is None:
        factors = component_factors(scales.numel() - 1)
    out: Tensor = _GsbAttention.apply(attention, scales, offset, factors, base)
    return out


def attention_components(
    attention: Tensor, base_scale: Tensor, factors: tuple[float, ...], base: AttentionBase
) -> Tensor:
    """The unscaled components ``A_bin, M_1 .. M_k`` of `gsb_attention`, stacked ``[k+1, B, H, N, M]``; no gradient."""
    with torch.no_grad():
        row_max = attention.amax(dim=-1, keepdim=True)
        masks = [greater(attention, factor * row_max) for factor in factors]
        return torch.stack([_base_map(attention, base_scale, row_max, base), *masks])


def fit_attention_scales(attention: Tensor, factors: tuple[float, ...], base: AttentionBase = "round") -> Tensor:
    """Initial scales from data: least squares with the base scale fixed at the mean.

    ``a_0 = mean(A_t)``; ``a_i = mean of the values in the band [Theta_i, Theta_{i+1}) - (a_0 + .. + a_{i-1})``, the
    last band open above. A band without values, or one whose mean is not above the sum before it, gives the smallest
    allowed scale, never NaN. With base ``"mask"`` the bands start at ``c_0 = 0.5`` and a_0 is its band's mean: there
    Eq. 23 can be solved without Eq. 25's approximation. With base ``"sign"``, ``a_0 = mean(|A_t|)``.

    Args:
        attention: ``A_t`` of the calibration images, ``[B, H, N, M]``.
        factors: ``c_1 .. c_k``.
        base: definition of ``A_bin``.

    Returns:
        ``[k + 1]`` positive scales.

    Source: GSB Eq. 21-25 (Eq. 24 has a misprint, 25 is its intended solution).
    """
    return scales_of_levels(attention_levels(attention, factors, base))


def attention_levels(
    attention: Tensor, factors: tuple[float, ...], base: AttentionBase = "round", start: float = 1.0
) -> list[Tensor]:
    """Return the values that the sums ``a_0 .. a_0 + .. + a_k`` should have: the base's mean, and that of each band.

    Arguments as of `fit_attention_scales`; with base ``"round"``, ``start`` is the multiple of the mean that a_0 takes.
    """
    with torch.no_grad():
        row_max = attention.amax(dim=-1, keepdim=True)
        if base == "mask":
            levels, edges = [], [BASE_FACTOR, *factors]
        else:
            levels, edges = [start * attention.mean() if base == "round" else attention.abs().mean()], list(factors)
        at_least = [attention >= edge * row_max for edge in edges]
        for index, reached in enumerate(at_least):
            band = reached & ~at_least[index + 1] if index + 1 < len(at_least) else reached
            count = band.sum()
            mean = torch.where(band, attention, attention.new_zeros(())).sum() / count.clamp_min(1)
            levels.append(torch.where(count > 0, mean, attention.new_zeros(())))
        return levels


def scales_of_levels(levels: list[Tensor]) -> Tensor:
    """Turn the wanted sums ``a_0 + .. + a_i`` into scales: differences, each at least the smallest allowed scale."""
    scales: list[Tensor] = []
    total = torch.zeros_like(levels[0])
    for level in levels:
        scales.append((level - total).clamp_min(MIN_SCALE))
        total = total + scales[-1]
    return torch.stack(scales)


def multiples_of_levels(levels: list[Tensor], factor: float) -> Tensor:
    """Turn levels into scales as the authors' release does: each is the same multiple of its own level.

    A level without values, 0, takes the scale below it.
    """
    scales: list[Tensor] = []
    for level in levels:
        below = scales[-1] if scales else level
        scales.append(torch.where(level > 0, factor * level, below))
    return torch.stack(scales)


InitialScales = Literal["fitted", "release"]
"""First values of learned scales: least squares (Eq. 25 and 34), or the release's multiples of a mean: 4 times for
non-negative values (attention included), 2 times for signed ones."""

UNSIGNED_START, SIGNED_START = 4.0, 2.0
SMALLEST_START = 0.25
"""Smallest scale of a component that training starts with, as a share of the first scale."""


def alive(scales: Tensor) -> Tensor:
    """Return scales ``[k + 1]`` that training can start with: each at least `SMALLEST_START` of the first.

    Least squares leave a component without use at the smallest allowed scale, from where its logarithm never returns.
    """
    return torch.cat([scales[:1], scales[1:].clamp_min(SMALLEST_START * scales[0])])


Offset = Literal["none", "mean", "row", "full"]
"""The offset Phi of Eq. 9 and Table VII: 0, mean(A), learned ``[H, N]``, learned ``[H, N, N]``."""


def resampled_tokens(x: Tensor, dim: int, old: tuple[int, int], new: tuple[int, int], extra: int) -> Tensor:
    """Return ``x`` with the patch tokens along ``dim`` resampled bilinearly to another map.

    Args:
        x: values with ``extra + old[0] old[1]`` tokens along ``dim``.
        dim: axis of the tokens.
        old: height and width of the map of patches.
        new: those wanted.
        extra: tokens in front of the patches, which stay.
    """
    moved = x.movedim(dim, -1)
    front, patches = moved[..., :extra], moved[..., extra:]
    maps = patches.reshape(1, -1, *old).float()
    resized = F.interpolate(maps, size=new, mode="bilinear", antialias=True)
    patches = resized.reshape(*patches.shape[:-1], new[0] * new[1]).to(x.dtype)
    return torch.cat([front, patches], dim=-1).movedim(-1, dim).contiguous()


class GsbAttention(AttentionEstimator):
    """`gsb_attention` of ``A - Phi`` with learned scales and offset.

    As each row of A is a softmax, ``mean(A)`` is ``1/N``.

    Args:
        num_heads: heads H.
        num_tokens: tokens N, of queries and of keys.
        components: number of extra components k_a (Table VI), 0 or more.
        offset: kind of Phi.
        offset_bits: 8 trains a learned Phi with the rounding of its 8-bit storage (one scale for each head), 32 stores
            it in float32.
        base: definition of A_bin (Tables V and VIII).
        start: multiple of the mean that calibration gives a_0. At 1 (Eq. 22) A_bin begins as all ones where attention
            begins even, because all of it lies above half the mean; at 2 with ones where A_t is above its mean.
        initial: see `InitialScales`; the release's has no use for ``start``.
        gradients: how gradients of the scales are averaged.

    Attributes:
        offset: parameter Phi, subtracted, initially 0; None where it is not learned.
        scales: effective positive ``a_0 .. a_k`` (the parameter is ``log_scales``).
        factors: ``c_1 .. c_k``.

    Source: GSB Eq. 9-25; Tables V-VIII.
    """

    scales = Positive()

    def __init__(
        self,
        num_heads: int,
        num_tokens: int,
        components: int = 2,
        offset: Offset = "full",
        offset_bits: Literal[8, 32] = 8,
        base: AttentionBase = "round",
        *,
        start: float = 1.0,
        initial: InitialScales = "fitted",
        gradients: Gradients = "paper",
    ) -> None:
        super().__init__()
        self.start, self.initial, self.gradients = start, initial, gradients
        self.num_heads = num_heads
        self.num_tokens = num_tokens
        self.offset_kind = offset
        self.offset_bits = offset_bits
        self.base: AttentionBase = base
        self.factors = component_factors(components)
        self.planes = components + 1
        # Shift, divide and round; a row's maximum; and for each component compare, scale and add.
        self.flops_per_element = 3 + (1 + 2 * components if components else 0)
        self.scales = torch.full((components + 1,), 1.0 / num_tokens)
        shape = (num_heads, num_tokens) if offset == "row" else (num_heads, num_tokens, num_tokens)
        self.offset: nn.Parameter | None = nn.Parameter(torch.zeros(shape)) if offset in ("row", "full") else None

    def effective_offset(self, like: Tensor) -> Tensor | None:
        """Return Phi as it is subtracted, broadcasting over ``[B, H, N, N]``, in the dtype of ``like``; None for 0."""
        if self.offset_kind == "mean":
            return like.new_full((), 1.0 / self.num_tokens)
        if self.offset is None:
            return None
        offset = at_least_float32(self.offset)
        if self.offset_bits == 8:
            offset = fake_integer_offset(offset)
        return offset.unsqueeze(-1) if self.offset_kind == "row" else offset

    def shifted(self, attention: Tensor) -> Tensor:
        """Return ``A_t = A - Phi`` (Eq. 9)."""
        attention = at_least_float32(attention)
        offset = self.effective_offset(attention)
        return attention if offset is None else attention - offset

    def forward(self, x: Tensor) -> Quantized:
        """Return the approximation `gsb_attention`, ``[B, H, N, N]``; its scales are already applied."""
        x = at_least_float32(x)
        scales = averaged_as(self.gradients, self.scales, x)
        return gsb_attention(x, scales, self.factors, self.base, self.effective_offset(x)), None

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``A - Phi``."""
        return self.shifted(x), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the scales by Eq. 25 from attention probabilities ``[B, H, N, N]``, none too small to live (`alive`)."""
        is_released = self.initial == "release"
        levels = attention_levels(self.shifted(x), self.factors, self.base, 1.0 if is_released else self.start)
        self.scales = multiples_of_levels(levels, UNSIGNED_START) if is_released else alive(scales_of_levels(levels))

    @torch.no_grad()
    def set_tokens(self, old: tuple[int, int], new: tuple[int, int], extra: int) -> None:
        """Resample the offset for another map of patches; it and the scales follow 1/N, the mean of the attention."""
        tokens = new[0] * new[1] + extra
        ratio = self.num_tokens / tokens
        if self.offset is not None:
            offset = resampled_tokens(self.offset, 1, old, new, extra)
            if self.offset_kind == "full":
                offset = resampled_tokens(offset, 2, old, new, extra)
            self.offset = nn.Parameter(offset * ratio, requires_grad=self.offset.requires_grad)
        self.scales = self.scales * ratio
        self.num_tokens = tokens

    def mask_planes(self, num_heads: int) -> MaskPlanes:
        """Masks of Eq. 9-13. A sign is two of them: ``sign = 2 * 1{a_t >= 0} - 1``, the -1 on a plane of ones."""
        self.check_enabled()
        scales = self.scales.detach().double().tolist()
        offset, offset_scale = self._stored_offset(num_heads)
        extra: Rules = [["row_max", float(c)] for c in self.factors]
        if self.base == "sign":
            factors = for_each_head([2.0 * scales[0], -scales[0], *scales[1:]], num_heads)
            rules: Rules = [["at_least"], ["ones"], *extra]
            return MaskPlanes(rules, factors, torch.zeros_like(factors), offset, offset_scale)
        factors = for_each_head(scales, num_heads)
        if self.base == "mask":
            return MaskPlanes([["row_max", BASE_FACTOR], *extra], factors, None, offset, offset_scale)
        thresholds = first_threshold(factors, 0.5 * scales[0])
        return MaskPlanes([["greater"], *extra], factors, thresholds, offset, offset_scale)

    def _stored_offset(self, num_heads: int) -> tuple[Tensor | None, Tensor | None]:
        """Phi as stored; an offset a row is stored in float32 whatever it was trained with."""
        if self.offset_kind == "mean":
            return torch.full((num_heads, self.num_tokens), 1.0 / self.num_tokens), None
        if self.offset is None:
            return None, None
        if self.offset_bits == 8:
            integers, scale = quantize_offset(at_least_float32(self.offset.detach()))
            return (integers.float() * scale[:, None], None) if integers.ndim == 2 else (integers, scale.float())
        return self.offset.detach().float(), None

    def extra_repr(self) -> str:
        """Return the arguments that ``repr`` shows."""
        return (
            f"heads={self.num_heads}, tokens={self.num_tokens}, components={len(self.factors)}, "
            f"offset={self.offset_kind}, offset_bits={self.offset_bits}, base={self.base}"
        )
