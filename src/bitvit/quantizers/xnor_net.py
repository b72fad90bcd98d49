"""XNOR-Net: binary filters with a scale each, and a scale for every place of the input."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.channelwise_weight import channelwise_scale
from bitvit.quantizers.estimator import ActivationEstimator, Quantized, WeightEstimator
from bitvit.quantizers.sign import sign_ste
from bitvit.quantizers.triangular_sign import hard_sign


class _XnorWeight(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return hard_sign(weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        weight, scale = ctx.saved_tensors
        per_filter = weight[0].numel()
        return grad_outputs[0] / scale * (1 / per_filter + scale * (weight.abs() <= 1)), None


def xnor_weight_signs(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Binarize filters to signs and a scale each; the binary weight is their product.

    Forward: ``sign(w)`` and ``alpha_o = mean_o(|w|)`` (no gradient).
    Backward of the product (G its gradient, n weights a filter): ``dL/dw = G (1/n + alpha_o 1{|w| <= 1})``.

    Args:
        weight: ``[O, ...]``.

    Returns:
        Signs in the shape of ``weight`` and scales ``[O]``.

    Source: Rastegari et al., "XNOR-Net", ECCV 2016, Eq. 4-6 and the gradient in its section 3.1.
    """
    scale = channelwise_scale(weight)
    signs: Tensor = _XnorWeight.apply(weight, scale)
    return signs, scale.flatten()


def xnor_input_scale(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Scale of every output place: the mean magnitude of the input under the filter, without a gradient.

    ``K = (mean over channels of |x|) * k``, ``k`` a box filter of ``1 / kernel^2``; zeros pad.

    Args:
        x: ``[B, C, H, W]`` before its sign is taken.
        kernel: side of the filter, in places.
        stride: its step.
        padding: zeros at each edge.

    Returns:
        ``[B, 1, H', W']``.

    Source: XNOR-Net, Eq. 10 and 11.
    """
    with torch.no_grad():
        return F.avg_pool2d(x.abs().mean(dim=1, keepdim=True), kernel, stride, padding)


class XnorNetWeight(WeightEstimator):
    """`xnor_weight_signs`."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[O, ...]`` and a scale for each output channel, ``[O]``."""
        return xnor_weight_signs(x)


class XnorNetSign(ActivationEstimator):
    """`sign_ste` of maps with the channels first, and the scale of every output place: `xnor_input_scale`.

    Args:
        kernel: side of the convolution that takes the signs, in places.
        stride: its stride.
        padding: its zeros at each edge.
    """

    flops_per_element = 2  # magnitudes, and their sum over channels

    def __init__(self, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs ``[B, C, H, W]`` and the scale of every output place, ``[B, 1, H', W']``."""
        return sign_ste(x), xnor_input_scale(x, self.kernel, self.stride, self.padding)
