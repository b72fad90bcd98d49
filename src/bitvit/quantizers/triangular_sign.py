"""Sign of activations with the triangular gradient estimate of BinaryViT and BHViT."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import ActivationEstimator, Quantized
from bitvit.quantizers.packed_forms import InputBits

SignOfZero = Literal["plus", "zero"]
"""What sign(0) is:

``"plus"`` (+1, this library's rule) or ``"zero"`` (0, as ``torch.sign`` in the authors' releases).
"""


def hard_sign(x: Tensor, sign_of_zero: SignOfZero = "plus") -> Tensor:
    """Return the sign of every element as -1 or +1 (or 0 for zeros, under the authors' rule), without a gradient."""
    if sign_of_zero == "zero":
        return torch.sign(x)
    return (x < 0).to(x.dtype).mul_(-2).add_(1)  # a third of the time of `where`


class _TriangularSign(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sign_of_zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(x)
        return hard_sign(x, sign_of_zero)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        slope = x.abs().neg_().add_(1).clamp_min_(0).mul_(2)  # in place: half the time
        return slope.mul_(grad_outputs[0]), None


def triangular_sign(x: Tensor, sign_of_zero: SignOfZero = "plus") -> Tensor:
    """Sign with a triangular (piecewise quadratic) straight-through estimate.

    Forward: ``y = -1 where x < 0, else +1``. Backward: ``dL/dx = dL/dy * 2 * max(0, 1 - |x|)``, the derivative of the
    piecewise quadratic approximation of the sign (Bi-Real Net; used by BinaryViT and BHViT, docs/models.md, section 3).

    Args:
        x: values of any shape.
        sign_of_zero: ``"zero"`` maps 0 to 0, as the authors' code does; otherwise 0 maps to +1.

    Returns:
        A tensor of the shape and dtype of ``x`` with values in {-1, +1}.
    """
    result: Tensor = _TriangularSign.apply(x, sign_of_zero)
    return result


class TriangularSign(ActivationEstimator):
    """`triangular_sign` of the input as it is (Bi-Real Net)."""

    def forward(self, x: Tensor) -> Quantized:
        """Return ``sign(x)``, in the shape of ``x``, without a scale."""
        return triangular_sign(x), None

    def packed(self) -> InputBits:
        """Return signs around 0."""
        self.check_enabled()
        return InputBits("sign", torch.zeros((), dtype=torch.float64))


class ShiftedSign(ActivationEstimator):
    """``sign(x + shift)`` with the gradient of `triangular_sign`; disabled, it is ``x + shift``.

    Args:
        channels: size of the last axis.
        sign_of_zero: see `triangular_sign`.

    Attributes:
        shift: parameter ``[C]``, initially 0.
    """

    flops_per_element = 2  # shift, compare

    def __init__(self, channels: int, sign_of_zero: SignOfZero = "plus") -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.sign_of_zero: SignOfZero = sign_of_zero

    def forward(self, x: Tensor) -> Quantized:
        """Return ``sign(x + shift)``, in the shape of ``x``, without a scale."""
        return triangular_sign(x + self.shift, self.sign_of_zero), None

    def unquantized(self, x: Tensor) -> Quantized:
        """Return ``x + shift``."""
        return x + self.shift, None

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``x + shift`` of mean magnitude 1 in each image, as there is no scale."""
        shifted = x + self.shift
        axes = tuple(range(1, x.dim()))
        return shifted / shifted.abs().mean(dim=axes, keepdim=True).clamp_min(1e-12), None

    def set_activation_binarization(self, enabled: bool) -> None:
        """Switch the sign; the shift stays in use."""
        self.enabled = enabled

    def packed(self) -> InputBits:
        """Return signs around ``-shift``, ``[K]``."""
        self.check_enabled()
        return InputBits("sign", -self.shift.detach().double())

    def extra_repr(self) -> str:
        """Return the number of channels, which ``repr`` shows."""
        return f"{self.shift.numel()}"
