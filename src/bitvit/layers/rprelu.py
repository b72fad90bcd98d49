"""RPReLU: a PReLU that is shifted before and after, with one set of parameters for each channel."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RPReLU(nn.Module):
    """Parametric ReLU with learned shifts.

    ``y = prelu(x - before) + after``, where ``prelu(t) = t if t > 0 else slope * t``. All parameters are per channel;
    slopes start at 0.25, shifts at 0.

    Args:
        channels: size of the last axis.

    Shape: ``[..., C] -> [..., C]``.

    Source: ReActNet; MODELS section 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), 0.25))
        self.after = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation over the last axis."""
        shifted = x - self.before
        rows = F.prelu(shifted.reshape(-1, shifted.shape[-1]), self.slope)
        return rows.view(shifted.shape) + self.after

    def extra_repr(self) -> str:
        return f"{self.slope.numel()}"
