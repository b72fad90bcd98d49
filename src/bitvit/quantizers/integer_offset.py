"""Symmetric 8-bit storage of the attention offset Phi, one scale for each head."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

INT8_MAX = 127


def quantize_offset(offset: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize an offset to integers in -127..127, one scale for each head.

    ``scale_h = max|Phi_h| / 127`` (1 where a head is all zero), ``q = round(Phi / scale)``, half to even.

    Args:
        offset: ``[H, ...]``.

    Returns:
        int8 integers in the shape of ``offset``, and scales ``[H]`` in its dtype.
    """
    with torch.no_grad():
        scale = offset.abs().flatten(1).amax(dim=1) / INT8_MAX
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        shape = (-1, *([1] * (offset.dim() - 1)))
        integers = torch.round(offset / scale.reshape(shape)).clamp(-INT8_MAX, INT8_MAX)
        return integers.to(torch.int8), scale


class _FakeInteger(Function):
    @staticmethod
    def forward(ctx: Any, offset: Tensor) -> Tensor:
        integers, scale = quantize_offset(offset)
        return integers.to(offset.dtype) * scale.reshape(-1, *([1] * (offset.dim() - 1)))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]


def fake_integer_offset(offset: Tensor) -> Tensor:
    """Round an offset to the values that its 8-bit form can hold.

    Forward: ``scale_h * round(Phi / scale_h)``, see `quantize_offset`. Backward: identity.

    Args:
        offset: ``[H, ...]``, real-valued.

    Returns:
        The representable offset, same shape.
    """
    rounded: Tensor = _FakeInteger.apply(offset)
    return rounded
