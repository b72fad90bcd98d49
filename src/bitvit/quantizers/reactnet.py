"""ReActNet's activations: `triangular_sign` of the input minus a learned threshold for each channel (RSign).

Its weights (section 4.1) are `ChannelSignWeight(centre=False)`: XNOR-Net's without the factor in their gradient.
"""

import torch
from torch import Tensor, nn

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
