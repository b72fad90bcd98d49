"""Attention as {0, clip}: the learned-threshold quantizer of BinaryViT."""

import torch
from torch import Tensor


def clipped_mask(probabilities: Tensor, clip: Tensor) -> Tensor:
    """Quantize attention probabilities to the mask of ``clip * mask``, 0 or a learned level.

    Forward: ``1{p / clip > 0.5}``; the caller multiplies by ``clip``. Backward of the product: to ``p`` the gradient
    passes where ``0 <= p / clip <= 1``; to ``clip`` it is ``mask - p / clip`` there, 1 above and 0 below.

    Args:
        probabilities: softmax output of any shape, usually ``[B, H, N, M]``.
        clip: positive scalar, learned.

    Returns:
        Values in {0, 1}, in the shape of ``probabilities``.

    Source: BinaryViT (MODELS section 4).
    """
    ratio = probabilities / clip
    # Written out so that the bounds are inclusive whatever torch version's clamp does there.
    clipped = torch.where(ratio < 0, torch.zeros_like(ratio), torch.where(ratio > 1, torch.ones_like(ratio), ratio))
    mask = (ratio > 0.5).to(ratio.dtype)
    return clipped + (mask - clipped).detach()
