"""The binary 3 x 3 convolution unit: shift, sign, binary filters, norm, residual, RPReLU."""

from torch import Tensor, nn

from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.rprelu import RPReLU


class ReactConv(nn.Module):
    """Binary convolution of a map with its normalization, identity residual and activation.

    ``y = rprelu(norm(conv_3x3(sign(x + shift))) + x)``; zero padding follows the sign, so padded elements contribute 0.

    Args:
        channels: C.
        options: shared choices of the network.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Source: the unit of `ReactLinear` (MODELS section 3) with a 3 x 3 convolution, as in ReActNet.
    """

    def __init__(self, channels: int, options: ReactOptions) -> None:
        super().__init__()
        self.conv = ChannelwiseBinaryConv2d(channels, channels, 3, padding=1, sign_of_zero=options.sign_of_zero)
        self.norm = options.make_norm(channels)
        self.activation = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to a map."""
        result: Tensor = self.activation(self.norm(self.conv(x)) + x)
        return result
