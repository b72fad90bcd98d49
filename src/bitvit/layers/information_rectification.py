"""Q-ViT's information rectification of queries and keys."""

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge


class InformationRectification(nn.Module):
    """Standardize a head's queries or keys, then shift and scale them, before they are quantized.

    ``y = (x - mean(x) + beta) / (gamma sqrt(var(x) + eps))``; mean and variance are those of one head of one image
    (tokens and channels), so that an image's result does not depend on its batch. The gradient passes through them.

    Args:
        num_heads: heads H.
        head_dim: channels of a head D.
        eps: keeps the denominator from 0.

    Attributes:
        beta: ``[H, 1, D]``, initially 0.
        gamma: ``[H, 1, 1]``, initially 1.

    Shape: ``[B, H, N, D]``, both.

    Source: Li et al., Q-ViT, NeurIPS 2022, Eq. 7 (information rectification module). The paper leaves open over what
    mean and variance are taken, and the shapes of beta and gamma.
    """

    def __init__(self, num_heads: int, head_dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.beta = nn.Parameter(torch.zeros(num_heads, 1, head_dim))
        self.gamma = nn.Parameter(torch.ones(num_heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Rectify queries or keys."""
        variance, mean = torch.var_mean(x, dim=(-2, -1), keepdim=True, correction=0)
        return (x - mean + self.beta) / (self.gamma * torch.sqrt(variance + self.eps))

    def charge(self, call: Call) -> Charge:
        """Count six operations per element."""
        return Charge(flops=6 * call.elements_in)  # sum, subtract, square and sum, shift, divide, scale

    def extra_repr(self) -> str:
        """Return the arguments that ``repr`` shows."""
        return f"heads={self.gamma.shape[0]}, head_dim={self.beta.shape[2]}"
