"""Sign with a straight-through estimate (GSB Eq. 4 and 5)."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.masks import signs


def binary_sign(x: Tensor) -> Tensor:
    """Return -1 where ``x < 0`` and +1 elsewhere (also at 0 and -0.0), in the dtype of ``x``, without a gradient."""
    return signs(x.detach())


class _SignSte(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.abs() <= 1)
        return signs(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        grad: Tensor = grad_outputs[0] * inside
        return grad


def sign_ste(x: Tensor) -> Tensor:
    """Sign whose gradient passes where the input is small.

    Forward: ``y = -1 where x < 0, else +1``, never 0. Backward: ``dL/dx = dL/dy * 1{|x| <= 1}``.

    Args:
        x: values of any shape.

    Returns:
        Values in {-1, +1}, same shape and dtype.

    Source: GSB Eq. 4 (forward) and Eq. 5 (backward). The authors' release uses ``torch.sign``, which maps 0 to 0.
    """
    binary: Tensor = _SignSte.apply(x)
    return binary
