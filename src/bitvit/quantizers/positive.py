"""Scales that stay positive under any optimizer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

MIN_SCALE = 1e-5
"""Smallest effective value of a learned scale (GSB section IV-B: all alphas and betas are positive)."""

MIN_STEP = 1e-10
"""Smallest effective step of an 8-bit quantizer; a step is about 1/100 of the values it quantizes."""


class _Floor(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, minimum: float) -> Tensor:
        return x.clamp_min(minimum)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0], None


def positive(scale: Tensor, minimum: float = MIN_SCALE) -> Tensor:
    """Keep a learned scale at or above a small positive number.

    Forward: ``max(scale, minimum)``. Backward: identity, so that a scale which an update pushed below the minimum can
    return.

    Args:
        scale: learned scales of any shape.
        minimum: the floor, positive.

    Returns:
        The effective scales, same shape.
    """
    floored: Tensor = _Floor.apply(scale, minimum)
    return floored


class Positive:
    """Attribute of a module that reads the effective (positive) value of its parameter ``raw_<name>``.

    Declared in the class body: ``scales = Positive()`` beside a parameter ``raw_scales``. Reading gives
    ``positive(raw_scales)``, with gradient; assigning a tensor or number copies it into the parameter, without
    gradient.
    """

    def __init__(self, minimum: float = MIN_SCALE) -> None:
        self._minimum = minimum
        self._raw_name = ""

    def __set_name__(self, owner: type[nn.Module], name: str) -> None:
        self._raw_name = f"raw_{name}"

    def __get__(self, module: nn.Module, owner: type[nn.Module] | None = None) -> Tensor:
        return positive(module.get_parameter(self._raw_name), self._minimum)

    def __set__(self, module: nn.Module, value: Tensor | float) -> None:
        parameter = module.get_parameter(self._raw_name)
        with torch.no_grad():
            parameter.copy_(torch.as_tensor(value, dtype=parameter.dtype, device=parameter.device))
