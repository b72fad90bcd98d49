"""Attention as {0, clip}: the learned-threshold quantizer of BinaryViT."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.estimator import AttentionEstimator, Quantized, mean_ratio
from bitvit.quantizers.packed_forms import MaskPlanes, first_threshold, for_each_head
from bitvit.quantizers.positive import Positive

INITIAL_CLIP = 0.005


class _RoundToBit(Function):
    """``1{x > 0.5}``; the gradient passes where ``0 <= x <= 1``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward((x >= 0) & (x <= 1))
        return (x > 0.5).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        grad: Tensor = grad_outputs[0] * inside
        return grad


def clipped_mask(probabilities: Tensor, clip: Tensor) -> Tensor:
    """Quantize attention probabilities to the mask of ``clip * mask``, 0 or a learned level.

    Forward: ``1{p / clip > 0.5}``; the caller multiplies by ``clip``. Backward of the product: to ``p`` the gradient
    passes where ``0 <= p / clip <= 1``; to ``clip`` it is ``mask - p / clip`` there, 1 above and 0 below.

    Args:
        probabilities: softmax output of any shape, usually ``[B, H, N, M]``.
        clip: positive scalar, learned.

    Returns:
        Values in {0, 1}, in the shape of ``probabilities``.

    Source: BinaryViT (docs/models.md, section 4).
    """
    mask: Tensor = _RoundToBit.apply(probabilities / clip)
    return mask


class ClippedAttention(AttentionEstimator):
    """`clipped_mask` with its learned level.

    Attributes:
        clip: effective positive scalar, initially 0.005 (the parameter is ``log_clip``).
    """

    flops_per_element = 2  # divide, round
    clip = Positive()

    def __init__(self) -> None:
        super().__init__()
        self.clip = torch.tensor(INITIAL_CLIP)

    def forward(self, x: Tensor) -> Quantized:
        """Return the bits of `clipped_mask`, ``[B, H, N, M]``, and the learned level, a scalar."""
        clip = self.clip
        return clipped_mask(x, clip), clip

    def real_value(self, x: Tensor) -> Quantized:
        """Return the probabilities and the factor that gives them the mean of their levels, ``[B, 1, 1, 1]``."""
        return x, mean_ratio(self, x)

    def mask_planes(self, num_heads: int) -> MaskPlanes:
        """Return one plane: probabilities above half the learned level."""
        self.check_enabled()
        clip = float(self.clip.detach())
        factors = for_each_head([clip], num_heads)
        return MaskPlanes([["greater"]], factors, first_threshold(factors, 0.5 * clip))


class CalibratedClip(ClippedAttention):
    """`ClippedAttention` whose level calibration sets to twice the mean: the mask begins as 1 above the mean.

    BinaryViT's fixed first level suits rows of hundreds of tokens; with fewer all probabilities lie above it.
    """

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the level from attention probabilities ``[B, H, N, M]``."""
        self.clip = 2.0 * x.mean()
