"""ReActNet: weights as in Bi-Real Net's forward pass, with a plain straight-through gradient.

Its activations are `triangular_sign` of the input minus a learned threshold for each channel (RSign).
"""

import torch
from torch import Tensor, nn

from bitvit.quantizers.channelwise_weight import channelwise_weight_signs
from bitvit.quantizers.estimator import ActivationEstimator, Quantized
from bitvit.quantizers.triangular_sign import triangular_sign


def rsign(x: Tensor, threshold: Tensor) -> Tensor:
    """Sign around a learned threshold.

    Forward: ``y = -1 where x < threshold, else +1``. Backward: ``dL/dx = dL/dy 2 max(0, 1 - |x - threshold|)``, and
    minus its sum for the threshold.

    Args:
        x: values.
        threshold: broadcasts over ``x``.

    Source: Liu et al., "ReActNet", ECCV 2020, Eq. 1 and 4.
    """
    return triangular_sign(x - threshold)


def reactnet_weight_signs(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Binarize filters to signs and a scale each; the binary weight is their product.

    Forward: ``sign(w)`` and ``alpha_o = mean_o(|w|)`` (no gradient). Backward of the product (G its gradient):
    ``dL/dw = G 1{|w| <= 1}``.

    Args:
        weight: ``[O, ...]``.

    Returns:
        Signs in the shape of ``weight`` and scales ``[O]``.

    Source: ReActNet, section 4.1 (weights as XNOR-Net's, without its gradient's factor).
    """
    return channelwise_weight_signs(weight, centre=False)


class ReactNetSign(ActivationEstimator):
    """`rsign` of maps with the channels first; disabled, it is ``x - threshold``.

    Attributes:
        threshold: parameter ``[C, 1, 1]``, initially 0.
    """

    flops_per_element = 1  # a threshold for each channel

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Quantized:
        """Return ``sign(x - threshold)``, ``[B, C, H, W]``, without a scale."""
        return rsign(x, self.threshold), None

    def unquantized(self, x: Tensor) -> Quantized:
        """Return ``x - threshold``."""
        return x - self.threshold, None

    def set_activation_binarization(self, enabled: bool) -> None:
        """Switch the sign; the threshold stays in use."""
        self.enabled = enabled
