"""Normalization over the last axis: BatchNorm for channels-last tensors, or LayerNorm."""

from typing import Literal

import torch
from torch import Tensor, nn

from bitvit.layers.packed import PackedAffine

NormKind = Literal["batch", "layer"]


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch normalization over the channels of a channels-last tensor of any rank.

    Statistics run over all axes but the last. In evaluation it is the affine map
    ``(x - running_mean) / sqrt(running_var + eps) * weight + bias``.

    Shape: ``[..., C] -> [..., C]``.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the last axis."""
        return super().forward(input.reshape(-1, input.shape[-1])).view(input.shape)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 2:
            raise ValueError(f"expected rows of channels, got {input.dim()} axes")

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Return scale and bias, ``[C]`` each, of the affine map that evaluation applies."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def packed(self) -> nn.Module:
        """Return the operator `affine` with the statistics folded into scale and shift."""
        return PackedAffine(*self.folded())


def make_norm(kind: NormKind, channels: int, eps: float = 1e-5) -> nn.Module:
    """Return the normalization named ``kind`` for ``channels`` channels."""
    if kind == "batch":
        return TokenBatchNorm(channels, eps=eps)
    return nn.LayerNorm(channels, eps=eps)
