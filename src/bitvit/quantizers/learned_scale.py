"""Binary activations with a learned scale, signed (type B) and non-negative (type A).

Each quantizer comes in two forms: the scaled value of the paper, and its bits alone (``*_bits``), for layers that
multiply exact integers and apply the scale afterwards. The bits' gradient is that of the scaled value: with ``y = s *
bits``, the caller multiplies by ``s.detach()`` and the functions here divide the incoming gradient by ``s``.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers._masks import between, greater, less_equal, signs


def _scale_gradient(grad: Tensor, bits: Tensor, windowed: Tensor, x: Tensor, scale: Tensor) -> Tensor:
    """Mean over one image's elements of ``grad * bits - windowed * x / scale``, summed over the images (first axis)."""
    total = torch.sum(grad * bits) - torch.sum(windowed * x) / scale
    return total * (x.shape[0] / x.numel())


class _SignBits(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        bits = signs(x)
        ctx.save_for_backward(x, scale, bits)
        return bits

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, scale, bits = ctx.saved_tensors
        grad = grad_outputs[0] / scale
        grad_x = less_equal(x.abs(), scale).mul_(grad)
        return grad_x, _scale_gradient(grad, bits, grad_x, x, scale) if ctx.needs_input_grad[1] else None


class _RoundBits(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        bits = greater(x, 0.5 * scale)
        ctx.save_for_backward(x, scale, bits)
        return bits

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, scale, bits = ctx.saved_tensors
        grad = grad_outputs[0] / scale
        grad_x = between(x, scale).mul_(grad)
        return grad_x, _scale_gradient(grad, bits, grad_x, x, scale) if ctx.needs_input_grad[1] else None


def sign_bits(x: Tensor, scale: Tensor) -> Tensor:
    """Signs of ``x``; their gradient is that of `learned_sign`, for a caller that multiplies by ``scale.detach()``.

    Args:
        x: values, batch first.
        scale: a positive scalar, learned; or statistics that broadcast over ``x`` and take no gradient.

    Returns:
        Values in {-1, +1}, same shape and dtype.
    """
    bits: Tensor = _SignBits.apply(x, scale)
    return bits


def round_bits(x: Tensor, scale: Tensor) -> Tensor:
    """Bits ``1{x / scale > 0.5}``; their gradient is that of `learned_round`, for a caller that multiplies by
    ``scale.detach()``.

    Args:
        x: values, batch first.
        scale: a positive scalar, learned; or statistics that broadcast over ``x`` and take no gradient.

    Returns:
        Values in {0, 1}, same shape and dtype.
    """
    bits: Tensor = _RoundBits.apply(x, scale)
    return bits


def learned_sign(x: Tensor, scale: Tensor) -> Tensor:
    """Binarize signed values with a learned scale.

    Forward: ``y = s * sign(x)``. Backward: ``dL/dx = dL/dy * 1{|x/s| <= 1}``;
    ``dL/ds = mean(dL/dy * (sign(x) - x/s * 1{|x/s| <= 1}))``, the mean over one image's elements, summed over images.

    Args:
        x: values, batch first.
        scale: positive scalar ``s``, learned.

    Returns:
        Values in {-s, +s}, same shape and dtype.

    Source: GSB section IV-C (end), Eq. 4, 5 and, for the scale, Eq. 28 and 29 with one component. The authors' release
    scales the gradient of ``s`` by ``1 / sqrt(numel)`` of the whole batch instead of the mean.
    """
    return sign_bits(x, scale) * scale.detach()


def learned_round(x: Tensor, scale: Tensor) -> Tensor:
    """Binarize non-negative values with a learned scale.

    Forward: ``y = s * 1{x/s > 0.5}``. Backward: ``dL/dx = dL/dy * 1{0 < x/s < 1}``;
    ``dL/ds = mean(dL/dy * (1{x/s > 0.5} - x/s * 1{0 < x/s < 1}))``, the mean over one image's elements, summed over
    images.

    Args:
        x: values, batch first.
        scale: positive scalar ``s``, learned.

    Returns:
        Values in {0, s}, same shape and dtype.

    Source: GSB Eq. 3, 5 and 14. The threshold is compared as ``x > s/2``, which is the quotient's rule without its
    rounding.
    """
    return round_bits(x, scale) * scale.detach()


def fit_sign_scale(x: Tensor) -> Tensor:
    """Least-squares scale of `learned_sign`: ``mean(|x|)``, the minimum of ``||x - s sign(x)||^2`` (GSB Eq. 34 with k =
    0)."""
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
