"""Binary activations with a learned scale, signed (type B) and non-negative (type A).

Each quantizer comes in two forms: the scaled value of the paper, and its bits alone (``*_bits``), for layers that
multiply exact integers and apply the scale afterwards. The bits' gradient is that of the scaled value: with ``y = s *
bits``, the caller multiplies by ``s.detach()`` and the functions here divide the incoming gradient by ``s``.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import ActivationEstimator, Quantized
from bitvit.quantizers.masks import between, greater, inner, shifted, summed_like, with_signs, within
from bitvit.quantizers.packed_forms import InputBits
from bitvit.quantizers.positive import Positive
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.scale_gradients import Gradients, averaged_as


class _LearnedBits(Function):
    """Saves the input alone: recomputing the bits is cheaper than storing them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor | None, rounds: bool, scaled: bool) -> Tensor:
        ctx.save_for_backward(x, scale, shift)
        ctx.rounds, ctx.scaled = rounds, scaled
        values = shifted(x, shift)
        if rounds:
            bits = greater(values, 0.5 * scale, out=values)
            return bits.mul_(scale) if scaled else bits
        return with_signs(scale if scaled else torch.ones_like(scale), values, out=values)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift = ctx.saved_tensors
        grad = grad_outputs[0] if ctx.scaled else grad_outputs[0] / scale
        values = shifted(x, shift)
        grad_x, grad_scale = bits_gradient(grad, values, scale, ctx.rounds, ctx.needs_input_grad[1])
        grad_shift = summed_like(grad_x, shift) if shift is not None and ctx.needs_input_grad[2] else None
        return grad_x, grad_scale, grad_shift, None, None


def bits_of(values: Tensor, scale: Tensor, rounds: bool, out: Tensor | None = None) -> Tensor:
    """Return ``1{values > scale / 2}`` where ``rounds``, else the signs of ``values``.

    ``values`` has no negative zeros. The result may overwrite ``out``.
    """
    if rounds:
        return greater(values, 0.5 * scale, out)
    return with_signs(values.new_ones(()), values, out)


def bits_gradient(
    grad: Tensor, values: Tensor, scale: Tensor, rounds: bool, needs_scale: bool, bits: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Gradients of ``scale * bits(values)``: to the values, and to the scale where it is a scalar that needs one.

    Args:
        grad: gradient of the scaled bits.
        values: shifted input, batch first.
        scale: positive.
        rounds: bits are {0, 1}, not {-1, +1}.
        needs_scale: compute the second result.
        bits: `bits_of` the values, if they are at hand; overwritten.
    """
    bits = bits_of(values, scale, rounds) if bits is None and needs_scale else bits
    total = inner(grad, bits) if needs_scale and bits is not None else None
    window = between(values, scale, out=bits) if rounds else within(values, scale, out=bits)
    grad_values = window.mul_(grad)
    if total is None:
        return grad_values, None
    mean = values.shape[0] / values.numel()
    return grad_values, (total - inner(grad_values, values) / scale) * mean


def sign_bits(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Signs of ``x``; their gradient is that of `learned_sign`, for a caller that multiplies by ``scale.detach()``.

    Args:
        x: values, batch first.
        scale: a positive scalar, learned; or statistics that broadcast over ``x`` and take no gradient.
        shift: added to ``x`` before anything else; broadcasts over it.

    Returns:
        Values in {-1, +1}, same shape and dtype.
    """
    bits: Tensor = _LearnedBits.apply(x, scale, shift, False, False)
    return bits


def round_bits(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Return bits ``1{x / scale > 0.5}``, for a caller that multiplies them by ``scale.detach()``.

    Their gradient is that of `learned_round`.

    Args:
        x: values, batch first.
        scale: a positive scalar, learned; or statistics that broadcast over ``x`` and take no gradient.
        shift: added to ``x`` before anything else; broadcasts over it.

    Returns:
        Values in {0, 1}, same shape and dtype.
    """
    bits: Tensor = _LearnedBits.apply(x, scale, shift, True, False)
    return bits


def learned_sign(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Binarize signed values with a learned scale.

    Forward: ``y = s * sign(x)``. Backward: ``dL/dx = dL/dy * 1{|x/s| <= 1}``;
    ``dL/ds = mean(dL/dy * (sign(x) - x/s * 1{|x/s| <= 1}))``, the mean over one image's elements, summed over images.

    Args:
        x: values, batch first.
        scale: positive scalar ``s``, learned; or statistics that broadcast over ``x`` and take no gradient.
        shift: added to ``x`` before anything else, learned; broadcasts over it.

    Returns:
        Values in {-s, +s}, same shape and dtype.

    Source: GSB section IV-C (end), Eq. 4, 5 and, for the scale, Eq. 28 and 29 with one component. The authors' release
    scales the gradient of ``s`` by ``1 / sqrt(numel)`` of the whole batch instead of the mean.
    """
    values: Tensor = _LearnedBits.apply(x, scale, shift, False, True)
    return values


def learned_round(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """Binarize non-negative values with a learned scale.

    Forward: ``y = s * 1{x/s > 0.5}``. Backward: ``dL/dx = dL/dy * 1{0 < x/s < 1}``;
    ``dL/ds = mean(dL/dy * (1{x/s > 0.5} - x/s * 1{0 < x/s < 1}))``, the mean over one image's elements, summed over
    images.

    Args:
        x: values, batch first.
        scale: positive scalar ``s``, learned; or statistics that broadcast over ``x`` and take no gradient.
        shift: added to ``x`` before anything else, learned; broadcasts over it.

    Returns:
        Values in {0, s}, same shape and dtype.

    Source: GSB Eq. 3, 5 and 14. The threshold is compared as ``x > s/2``, which is the quotient's rule without its
    rounding.
    """
    values: Tensor = _LearnedBits.apply(x, scale, shift, True, True)
    return values


def fit_sign_scale(x: Tensor) -> Tensor:
    """Return the least-squares scale of `learned_sign`: ``mean(|x|)``.

    It is the minimum of ``||x - s sign(x)||^2`` (GSB Eq. 34 with k = 0).
    """
    return x.abs().mean()


def fit_round_scale(x: Tensor, iterations: int = 20) -> Tensor:
    """Least-squares scale of `learned_round`: a fixed point of ``s = mean of x over x > s/2``.

    The minimum of ``||x - s 1{x > s/2}||^2``; the iteration is Lloyd's with one level fixed at 0, starting from the
    mean of the positive values. Where no value is positive the result is 0.
    """
    level = x.clamp_min(0).sum() / (x > 0).sum().clamp_min(1)
    for _ in range(iterations):
        above = x > 0.5 * level
        level = torch.where(above, x, x.new_zeros(())).sum() / above.sum().clamp_min(1)
    return level


class ScaledBits(ActivationEstimator, ABC):
    """Bits of a shifted activation, and a scale: what `sign_bits` and `round_bits` compute.

    Attributes:
        rounds: bits are {0, 1} (`learned_round`), not {-1, +1} (`learned_sign`).
    """

    rounds = False

    @abstractmethod
    def shift_and_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is added to ``x``, and the scale of its bits."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the bits of `round_bits` or `sign_bits`, in the shape of ``x``, and the scale, detached."""
        x = at_least_float32(x)
        shift, scale = self.shift_and_scale(x)
        bits = round_bits(x, scale, shift) if self.rounds else sign_bits(x, scale, shift)
        return bits, scale.detach()

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``x + shift``."""
        x = at_least_float32(x)
        return x + self.shift_and_scale(x)[0], None

    @property
    def is_standard(self) -> bool:
        """Whether ``forward`` is the one above, so that a fused product may take its place."""
        return type(self).forward is ScaledBits.forward


class LearnedSign(ScaledBits):
    """`learned_sign`: ``s sign(x + shift)``.

    Args:
        shape: of the shift, which broadcasts over the input: ``(K,)``, or ``(H, 1, D)`` for heads.
        start: `fit` sets the scale to this multiple of ``mean(|x + shift|)``; None: to its least-squares value.
        gradients: how the gradient of the scale is averaged.

    Attributes:
        shift: parameter, added, initially 0.
        scale: effective positive scalar (the parameter is ``log_scale``).

    Source: GSB section IV-C (end).
    """

    flops_per_element = 3  # shift, divide, round
    scale = Positive()

    start: float | None = None
    gradients: Gradients = "paper"

    def __init__(self, shape: tuple[int, ...], start: float | None = None, gradients: Gradients = "paper") -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(shape))
        self.scale = torch.ones(())
        if start is not None:
            self.start = start
        self.gradients = gradients

    def shift_and_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two learned parameters: the shift of each channel and the scale, a positive scalar."""
        return self.shift, averaged_as(self.gradients, self.scale, x)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the scale to its first value on ``x``, by default the least-squares one; the shift stays."""
        shifted_input = at_least_float32(x) + self.shift
        if self.start is not None:
            self.scale = self.start * shifted_input.abs().mean()
            return
        self.scale = fit_round_scale(shifted_input) if self.rounds else fit_sign_scale(shifted_input)

    def packed(self) -> InputBits:
        """Return signs around ``-shift``, or, where levels are rounded, bits of what is above ``scale / 2 - shift``."""
        self.check_enabled()
        scale, shift = self.scale.detach().double(), self.shift.detach().double().reshape(-1)
        if self.rounds:
            return InputBits("mask", 0.5 * scale - shift, scale)
        return InputBits("sign", -shift, scale)

    def extra_repr(self) -> str:
        """Return the shape of the shift, which ``repr`` shows."""
        return f"{tuple(self.shift.shape)}"


class LearnedRound(LearnedSign):
    """`learned_round`, for non-negative values: ``s 1{(x + shift)/s > 0.5}``. Arguments as of `LearnedSign`."""

    rounds = True
