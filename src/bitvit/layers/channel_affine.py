"""LayerScale with a shift, as BinaryViT and BHViT put before a residual connection."""

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.layers.packed import PackedAffine


class ChannelAffine(nn.Module):
    """Scale and shift of each channel: ``y = x * scale + shift``.

    Args:
        channels: size of the last axis.
        initial_scale: initial value of every scale: 0.1 before the main residual connections, 0 on extra branches.

    Shape: ``[..., C] -> [..., C]``.

    Source: "LayerScale" of BinaryViT and BHViT (docs/models.md, section 3).
    """

    def __init__(self, channels: int, initial_scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), float(initial_scale)))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift the last axis."""
        return x * self.scale + self.shift

    def charge(self, call: Call) -> Charge:
        """Count one operation per element."""
        return Charge(other_flops=call.elements_out)

    def packed(self) -> nn.Module:
        """Return the operator `affine` with this scale and shift."""
        return PackedAffine(self.scale, self.shift)

    def extra_repr(self) -> str:
        """Return the number of channels, which ``repr`` shows."""
        return f"{self.scale.numel()}"
