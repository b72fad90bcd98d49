"""Learned step size quantization to few bits, of weights (symmetric) and activations (with an offset): Q-ViT's."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import ActivationEstimator, Quantized, WeightEstimator
from bitvit.quantizers.learned_scale import learned_sign
from bitvit.quantizers.positive import Positive
from bitvit.quantizers.precision import at_least_float32


class _LowBit(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, offset: Tensor, bits: int, group_size: int) -> Tensor:
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        ctx.save_for_backward(x, step, offset)
        ctx.low, ctx.high, ctx.gradient_scale = low, high, 1 / math.sqrt(group_size * high)
        return torch.round((x - offset) / step).clamp_(low, high).mul_(step).add_(offset)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, step, offset = ctx.saved_tensors
        grad = grad_outputs[0]
        ratio = (x - offset) / step
        inside = ((ratio >= ctx.low) & (ratio <= ctx.high)).to(x.dtype)
        error = torch.round(ratio).clamp_(ctx.low, ctx.high).sub_(ratio * inside)
        grad_x = grad * inside
        grad_step = (grad * error).sum_to_size(step.shape) * ctx.gradient_scale
        grad_offset = (grad - grad_x).sum_to_size(offset.shape) * ctx.gradient_scale
        return grad_x, grad_step, grad_offset, None, None


def low_bit(x: Tensor, step: Tensor, offset: Tensor, bits: int, group_size: int) -> Tensor:
    """Quantize to 2^bits levels with a learned step and offset; one bit means the sign.

    Forward, 2 bits or more: ``y = s clip(round((x - z)/s), -2^(bits-1), 2^(bits-1) - 1) + z``. Backward: to ``x`` the
    gradient passes where the quotient is in the range, bounds included; to ``s`` it is
    ``sum(g (round(r) - r))`` inside and ``sum(g bound)`` outside, to ``z`` the sum of ``g`` outside, both times
    ``1 / sqrt(group_size (2^(bits-1) - 1))``.
    One bit: ``y = s sign(x - z) + z``, gradients as in `learned_sign`.

    Args:
        x: values, batch first (or weights).
        step: ``s``, positive scalar, learned.
        offset: ``z``, learned; 0 without a gradient for weights. Broadcasts over ``x``.
        bits: 1 or more.
        group_size: number of values that share the step, of one image where ``x`` is an activation.

    Returns:
        Quantized values, same shape.

    Source: Li et al., "Q-ViT: Accurate and Fully Quantized Low-bit Vision Transformer", NeurIPS 2022, Eq. 1-3; the
    gradients are Esser et al. (LSQ, ICLR 2020) and Bhalgat et al. (LSQ+, 2020). One bit: GSB, caption of Table I.
    """
    if bits == 1:
        return learned_sign(x, step, -offset) + offset
    y: Tensor = _LowBit.apply(x, step, offset, bits, group_size)
    return y


@torch.no_grad()
def fit_low_bit(x: Tensor, bits: int, centred: bool) -> tuple[Tensor, Tensor]:
    """Return the initial step and offset, scalars.

    ``z = mean(x)`` where ``centred`` (else 0), and ``s = 2 mean(|x - z|) / sqrt(2^(bits-1) - 1)`` (LSQ, section 2.1);
    for one bit ``s = mean(|x - z|)``, the least squares.
    """
    offset = x.mean() if centred else x.new_zeros(())
    magnitude = (x - offset).abs().mean()
    return (magnitude if bits == 1 else 2 * magnitude / math.sqrt(2 ** (bits - 1) - 1)), offset


class LowBitWeight(WeightEstimator):
    """Weights of few bits with a learned step: `low_bit` without an offset.

    Attributes:
        step: effective positive scalar (the parameter is ``log_step``).
    """

    step = Positive()

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.step = torch.ones(())

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the step from the weights."""
        self.step, _ = fit_low_bit(x, self.bits, centred=False)

    def forward(self, x: Tensor) -> Quantized:
        """Return `low_bit` of the weights, ``[O, ...]``; its step is already applied."""
        x = at_least_float32(x)
        return low_bit(x, self.step, x.new_zeros(()), self.bits, x.numel()), None

    def extra_repr(self) -> str:
        """Return the number of bits, which ``repr`` shows."""
        return f"bits={self.bits}"


class LowBitActivation(ActivationEstimator):
    """An activation in ``2^bits`` levels with a learned step and offset: `low_bit`.

    Attributes:
        step: effective positive scalar (the parameter is ``log_step``).
        offset: parameter, scalar.
    """

    flops_per_element = 3  # shift, divide, round
    step = Positive()

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.step = torch.ones(())
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Quantized:
        """Return `low_bit` of the activation, in its shape; step and offset are already applied."""
        x = at_least_float32(x)
        return low_bit(x, self.step, self.offset, self.bits, x[0].numel()), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set step and offset from data."""
        self.step, offset = fit_low_bit(at_least_float32(x), self.bits, centred=True)
        self.offset.copy_(offset)

    def extra_repr(self) -> str:
        """Return the number of bits, which ``repr`` shows."""
        return f"bits={self.bits}"
