"""Sign of activations with the triangular gradient estimate of BinaryViT and BHViT."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

SignOfZero = Literal["plus", "zero"]
"""What sign(0) is:

``"plus"`` (+1, this library's rule) or ``"zero"`` (0, as ``torch.sign`` in the authors' releases).
"""


def hard_sign(x: Tensor, sign_of_zero: SignOfZero = "plus") -> Tensor:
    """Return the sign of every element as -1 or +1 (or 0 for zeros, under the authors' rule), without a gradient."""
    if sign_of_zero == "zero":
        return torch.sign(x)
    return torch.where(x < 0, -torch.ones_like(x), torch.ones_like(x))


class _TriangularSign(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sign_of_zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(x)
        return hard_sign(x, sign_of_zero)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * (2 * (1 - x.abs()).clamp_min(0)), None


def triangular_sign(x: Tensor, sign_of_zero: SignOfZero = "plus") -> Tensor:
    """Sign with a triangular (piecewise quadratic) straight-through estimate.

    Forward: ``y = -1 where x < 0, else +1``. Backward: ``dL/dx = dL/dy * 2 * max(0, 1 - |x|)``, the derivative of the
    piecewise quadratic approximation of the sign (Bi-Real Net; used by BinaryViT and BHViT, MODELS section 3).

    Args:
        x: values of any shape.
        sign_of_zero: ``"zero"`` maps 0 to 0, as the authors' code does; otherwise 0 maps to +1.

    Returns:
        A tensor of the shape and dtype of ``x`` with values in {-1, +1}.
    """
    result: Tensor = _TriangularSign.apply(x, sign_of_zero)
    return result
