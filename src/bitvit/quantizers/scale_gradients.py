"""How the gradients of learned scales are averaged: as GSB's equations do, or as in its authors' release."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import Tensor
from torch.autograd import Function

Gradients = Literal["paper", "release"]
"""``"paper"``: the mean over one image's values, summed over images (Eq. 14). ``"release"``: the sum over the batch's n
values, divided by ``sqrt(n)``, as in LSQ (Esser et al., 2020)."""


class _ScaledGradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0] * ctx.factor, None


def with_gradient_times(x: Tensor, factor: float) -> Tensor:
    """Return ``x`` itself, whose gradient will be multiplied by ``factor``."""
    result: Tensor = _ScaledGradient.apply(x, factor)
    return result


def averaged_as(gradients: Gradients, scale: Tensor, x: Tensor) -> Tensor:
    """Return ``scale`` itself, whose gradient will be averaged in one of two ways.

    Args:
        gradients: which.
        scale: learned; its gradient comes as a mean over one image's values, summed over images.
        x: the values that it scales, batch first.
    """
    if gradients == "paper":
        return scale
    return with_gradient_times(scale, math.sqrt(x.numel()) / x.shape[0])
