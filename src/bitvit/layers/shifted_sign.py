"""The sign of an activation after a learned shift of each channel."""

import torch
from torch import Tensor, nn

from bitvit.quantizers.triangular_sign import SignOfZero, triangular_sign


class ShiftedSign(nn.Module):
    """``y = sign(x + shift)`` with the triangular gradient of `triangular_sign`.

    Args:
        channels: size of the last axis.
        sign_of_zero: see `triangular_sign`.

    Shape: ``[..., C] -> [..., C]``, values in {-1, +1}.

    Attributes:
        binarize_input: False in the weights-only training stage: then ``y = x + shift``.
    """

    def __init__(self, channels: int, sign_of_zero: SignOfZero = "plus") -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.sign_of_zero: SignOfZero = sign_of_zero
        self.binarize_input = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the signs of the shifted channels."""
        shifted = x + self.shift
        return triangular_sign(shifted, self.sign_of_zero) if self.binarize_input else shifted

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; the shift stays in use."""
        self.binarize_input = enabled

    def extra_repr(self) -> str:
        return f"{self.shift.numel()}"
