"""Binary weights with one scale for each output channel (BinaryViT, BHViT)."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.estimator import Quantized, WeightEstimator
from bitvit.quantizers.triangular_sign import SignOfZero, hard_sign

_TINY = 1e-30


def filter_mean(weight: Tensor) -> Tensor:
    """Return the mean of each output channel's weights, shaped ``[O, 1, ...]``."""
    return weight.mean(dim=tuple(range(1, weight.dim())), keepdim=True)


def channelwise_scale(weight: Tensor) -> Tensor:
    """Return the mean magnitude of each output channel's weights before centring, ``[O, 1, ...]``, no gradient."""
    return filter_mean(weight.detach().abs()).clamp_min(_TINY)


class _UnscaledSign(Function):
    """Signs whose gradient is that of scaled signs with an unscaled straight-through estimate.

    For a caller that multiplies by ``scale`` (without gradient) later: the incoming gradient is divided by it.
    """

    @staticmethod
    def forward(ctx: Any, centred: Tensor, scale: Tensor, sign_of_zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(centred, scale)
        return hard_sign(centred, sign_of_zero)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        centred, scale = ctx.saved_tensors
        return (grad_outputs[0] / scale).mul_(centred.abs() <= 1), None, None


def channelwise_weight_signs(
    weight: Tensor, centre: bool = True, sign_of_zero: SignOfZero = "plus"
) -> tuple[Tensor, Tensor]:
    """Binarize weights to signs and a scale per output channel; the binary weight is their product.

    Forward: ``sign(w - mean_o(w))`` and ``scale_o = mean_o(|w|)`` (no gradient, before centring); the mean is left out
    when ``centre`` is False. Backward of the product: ``1{|w - mean_o(w)| <= 1}``, not multiplied by the scale, then
    minus its own mean over the channel (the gradient of centring). Layers multiply bits with the signs, which is exact
    in float32, and apply the scale to the result.

    Args:
        weight: ``[O, K]`` of a linear layer or ``[O, C, h, w]`` of a convolution.
        centre: subtract each output channel's mean before taking signs.
        sign_of_zero: the sign given to an exact zero.

    Returns:
        Signs in the shape of ``weight`` and scales ``[O]``.

    Source: BinaryViT and BHViT (docs/models.md, section 3).
    """
    scale = channelwise_scale(weight)
    centred = weight - filter_mean(weight) if centre else weight
    signs: Tensor = _UnscaledSign.apply(centred, scale, sign_of_zero)
    return signs, scale.flatten()


class ChannelSignWeight(WeightEstimator):
    """Binary weights with one scale for each output channel: `channelwise_weight_signs`, whose arguments these are."""

    def __init__(self, centre: bool = True, sign_of_zero: SignOfZero = "plus") -> None:
        super().__init__()
        self.centre = centre
        self.sign_of_zero: SignOfZero = sign_of_zero

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]`` and a scale for each output channel, ``[O]``."""
        return channelwise_weight_signs(x, self.centre, self.sign_of_zero)

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``W``, minus each filter's mean where the estimator centres."""
        return x - filter_mean(x) if self.centre else x, None

    def extra_repr(self) -> str:
        """Return the arguments that ``repr`` shows."""
        return f"centre={self.centre}"
