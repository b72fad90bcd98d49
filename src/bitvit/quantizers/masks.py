"""Passes over whole tensors that the quantizers share: comparisons as 0.0 and 1.0, signs, windows, inner products.

A pass costs memory traffic, and a new tensor costs more than the pass that fills it. So results may go into a buffer
that is not needed any more (``out``), comparisons yield the dtype of their input (boolean masks followed by
``torch.where`` are several times slower on a CPU), and masks are recomputed in backward instead of saved. Not for use
where autograd records. `torch.compile` fuses the plain forms itself, so it is given those.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def _compare(comparison: Callable[..., Tensor], x: Tensor, threshold: Tensor, out: Tensor | None) -> Tensor:
    if torch.compiler.is_compiling():
        return comparison(x, threshold).to(x.dtype)
    return comparison(x, threshold, out=torch.empty_like(x) if out is None else out)


def greater(x: Tensor, threshold: Tensor, out: Tensor | None = None) -> Tensor:
    """``1{x > threshold}``; the threshold broadcasts over ``x``."""
    return _compare(torch.gt, x, threshold, out)


def less(x: Tensor, threshold: Tensor, out: Tensor | None = None) -> Tensor:
    """``1{x < threshold}``; the threshold broadcasts over ``x``."""
    return _compare(torch.lt, x, threshold, out)


def less_equal(x: Tensor, threshold: Tensor, out: Tensor | None = None) -> Tensor:
    """``1{x <= threshold}``; the threshold broadcasts over ``x``."""
    return _compare(torch.le, x, threshold, out)


def between(x: Tensor, upper: Tensor, out: Tensor | None = None) -> Tensor:
    """``1{0 < x < upper}``, both strict; ``out`` must not be ``x``."""
    if torch.compiler.is_compiling():
        return ((x > 0) & (x < upper)).to(x.dtype)
    # min(x, upper - x) > 0 needs one buffer; the difference of two floats is 0 only where they are equal.
    rest = torch.sub(upper, x, out=torch.empty_like(x) if out is None else out)
    return torch.minimum(rest, x, out=rest).gt_(0)


def within(x: Tensor, bound: Tensor, out: Tensor | None = None) -> Tensor:
    """``1{|x| <= bound}``; the bound broadcasts over ``x``."""
    if torch.compiler.is_compiling():
        return (x.abs() <= bound).to(x.dtype)
    magnitude = torch.abs(x, out=torch.empty_like(x) if out is None else out)
    return magnitude.le_(bound)


def signs(x: Tensor) -> Tensor:
    """-1 where ``x < 0``, +1 elsewhere (also at 0 and -0.0)."""
    return less(x, x.new_zeros(())).mul_(-2.0).add_(1.0)


def shifted(x: Tensor, shift: Tensor | None) -> Tensor:
    """``x + shift`` as a new contiguous tensor without negative zeros, so that its sign bits are signs."""
    # 0.0 is added first: it turns -0.0 into 0.0, and no sum of two floats but -0.0 + -0.0 is -0.0.
    term = x.new_zeros(()) if shift is None else shift + 0.0
    if torch.compiler.is_compiling():
        return (x + term).contiguous()
    return torch.add(x, term, out=torch.empty(x.shape, dtype=x.dtype, device=x.device))


def with_signs(magnitude: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Return ``-magnitude`` where ``x < 0``, ``magnitude`` elsewhere, in the shape of ``x``.

    ``x`` has no negative zeros (see `shifted`).
    """
    if torch.compiler.is_compiling():
        return torch.where(x < 0, -magnitude, magnitude)
    return torch.copysign(magnitude, x, out=torch.empty_like(x) if out is None else out)


def inner(x: Tensor, y: Tensor) -> Tensor:
    """``sum(x * y)`` of two tensors of one shape, without their product in memory."""
    if torch.compiler.is_compiling():
        return (x * y).sum()
    return torch.dot(x.reshape(-1), y.reshape(-1))


def summed_like(grad: Tensor, parameter: Tensor) -> Tensor:
    """Sum ``grad`` over the axes along which ``parameter`` was broadcast."""
    if grad.dim() > parameter.dim():
        grad = grad.sum(0)  # adding whole images is faster than a reduction over two separate axes
    return grad.sum_to_size(parameter.shape)
