"""RPReLU for maps with the channels first."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelRPReLU(nn.Module):
    """``y = prelu(x - before) + after`` with slopes and shifts for each channel; slopes start at 0.25, shifts at 0.

    Shape: ``[B, C, H, W]``, both. Source: ReActNet, Eq. 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.zeros(channels, 1, 1))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.after = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation."""
        return F.prelu(x - self.before, self.slope) + self.after
