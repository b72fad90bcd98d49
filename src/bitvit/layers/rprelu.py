"""RPReLU: a PReLU that is shifted before and after, with one set of parameters for each channel."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.charge import Call, Charge
from bitvit.layers.packed import as_rows, like_map, ops


class _PReLU(Function):
    """``F.prelu`` on rows `[N,C]`: on a CPU its own backward pass takes twice as long as this one."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(rows, slope)
        return F.prelu(rows, slope)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (rows, slope), (grad,) = ctx.saved_tensors, grad_outputs  # of three dtypes under autocast
        of_slope = rows.clamp_max(0).mul_(grad).sum(dim=0).to(slope.dtype)
        is_positive = (rows > 0).to(slope.dtype)
        return torch.lerp(slope, torch.ones_like(slope), is_positive).mul_(grad).to(rows.dtype), of_slope


def _prelu(rows: Tensor, slope: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # exporters know no functions of ours
        return F.prelu(rows, slope)
    result: Tensor = _PReLU.apply(rows, slope)
    return result


class RPReLU(nn.Module):
    """Parametric ReLU with learned shifts.

    ``y = prelu(x - before) + after``, where ``prelu(t) = t if t > 0 else slope * t``. All parameters are per channel;
    slopes start at 0.25, shifts at 0.

    Args:
        channels: number of channels.
        channels_last: channels are the last axis; else the second, ``[B, C, H, W]``.

    Shape: ``[..., C] -> [..., C]``, or ``[B, C, H, W]``, both.

    Source: ReActNet, Eq. 2.
    """

    def __init__(self, channels: int, channels_last: bool = True) -> None:
        super().__init__()
        self.channels_last = channels_last
        shift = (channels,) if channels_last else (channels, 1, 1)
        self.before = nn.Parameter(torch.zeros(shift))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.after = nn.Parameter(torch.zeros(shift))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        shifted = x - self.before
        if not self.channels_last:
            return F.prelu(shifted, self.slope) + self.after
        rows = _prelu(shifted.reshape(-1, shifted.shape[-1]), self.slope)
        return rows.view(shifted.shape) + self.after

    def charge(self, call: Call) -> Charge:
        """Count three operations per element: subtract, slope, add."""
        return Charge(other_flops=3 * call.elements_out)  # subtract, slope, add

    def packed(self) -> nn.Module:
        """Return the operator `rprelu` with these parameters."""
        return PackedRPReLU(self)

    def extra_repr(self) -> str:
        """Return the number of channels, which ``repr`` shows."""
        return f"{self.slope.numel()}"


class PackedRPReLU(nn.Module):
    """Packed `RPReLU`."""

    def __init__(self, layer: RPReLU) -> None:
        super().__init__()
        for name in ("before", "slope", "after"):
            self.register_buffer(name, getattr(layer, name).detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., C]``, float32, to the same shape."""
        return like_map(ops.rprelu(as_rows(x), self.before, self.slope, self.after), x)
