"""Attention as {0, clip}: the learned-threshold quantizer of BinaryViT."""

from typing import Any

from torch import Tensor
from torch.autograd import Function


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

    Source: BinaryViT (MODELS section 4).
    """
    mask: Tensor = _RoundToBit.apply(probabilities / clip)
    return mask
