"""Learned step size quantization to 8 bits (LSQ), for the first and last layers."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

INT8_MIN, INT8_MAX = -128, 127


def step_codes(x: Tensor, step: Tensor) -> Tensor:
    """Return ``clamp(round(x / step), -128, 127)``, half to even, as floats, without a gradient."""
    return torch.round(x / step).clamp(INT8_MIN, INT8_MAX)


class _StepCodes(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, gradient_scale: float) -> Tensor:
        codes = step_codes(x, step)
        ctx.save_for_backward(x, step, codes)
        ctx.gradient_scale = gradient_scale
        return codes

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        x, step, codes = ctx.saved_tensors
        grad = grad_outputs[0] / step
        ratio = x / step
        inside = (ratio >= INT8_MIN) & (ratio <= INT8_MAX)
        grad_step = grad * torch.where(inside, codes - ratio, codes)
        # Sum over every axis along which the step is constant.
        return grad * inside, grad_step.sum_to_size(step.shape) * ctx.gradient_scale, None


def learned_step_codes(x: Tensor, step: Tensor, group_size: int) -> Tensor:
    """Integer codes of `learned_step`, for layers that multiply exact integers and apply the steps afterwards.

    The gradient is that of the scaled value, for a caller that multiplies by ``step.detach()``.

    Args:
        x: values of any shape.
        step: positive, broadcasts over ``x``.
        group_size: see `learned_step`.

    Returns:
        Whole numbers in -128..127 as floats, same shape.
    """
    codes: Tensor = _StepCodes.apply(x, step, 1.0 / math.sqrt(group_size * INT8_MAX))
    return codes


def learned_step(x: Tensor, step: Tensor, group_size: int) -> Tensor:
    """Quantize to 8 bits with a learned step.

    Forward: ``y = s * clamp(round(x/s), -128, 127)``. Backward: ``dL/dx = dL/dy * 1{-128 <= x/s <= 127}``;
    ``dL/ds = sum(dL/dy * r) / sqrt(127 group_size)`` with ``r = round(x/s) - x/s`` inside the range, -128 or 127
    outside.

    Args:
        x: values of any shape.
        step: positive steps ``s`` that broadcast over ``x``: a scalar, or ``[O, 1, ...]`` for one step an output
            channel.
        group_size: number of values that share a step, of one image where ``x`` is an activation; scales the step's
            gradient.

    Returns:
        Quantized values, same shape.

    Source: Esser et al., "Learned step size quantization", ICLR 2020, Eq. 1-3. The authors' GSB
    release takes for ``group_size`` the numel of the whole weight, or of the whole batch of inputs.
    """
    return learned_step_codes(x, step, group_size) * step.detach()


def fit_step(x: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Step that covers the range of ``x``: ``max|x| / 127``, over all axes or over ``dim`` (kept), 1 where all values
    are 0."""
    largest = x.abs().amax() if dim is None else x.abs().amax(dim=dim, keepdim=True)
    return torch.where(largest > 0, largest / INT8_MAX, torch.ones_like(largest))
