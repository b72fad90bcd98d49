"""Round and clip to {0, 1} with a straight-through estimate: type A activations (GSB Eq. 3 and 5)."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.masks import greater


class _RoundClip(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < 1))
        return greater(x, x.new_full((), 0.5))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        grad: Tensor = grad_outputs[0] * inside
        return grad


def round_clip(x: Tensor) -> Tensor:
    """Binarize non-negative values to {0, 1}.

    Forward: ``y = clip(round(x), 0, 1) = 1{x > 0.5}``; the tie 0.5 gives 0 (round half to even gives the same).
    Backward: ``dL/dx = dL/dy * 1{0 < x < 1}``. The open interval is Eq. 5 read together with Eq. 17: the gradient of
    the rounding is 0 at integers, that of the clipping 0 outside [0, 1].

    Args:
        x: values of any shape, already divided by their scale.

    Returns:
        Values in {0, 1}, same shape and dtype.

    Source: GSB Eq. 3 (forward) and Eq. 5 (backward).
    """
    bits: Tensor = _RoundClip.apply(x)
    return bits
