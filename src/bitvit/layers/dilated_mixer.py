"""MSGDC: BHViT's token mixer of its first stages, three binary grouped dilated convolutions."""

from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.shifted_sign import ShiftedSign

DILATIONS = (1, 3, 5)
GROUPS = 4


class DilatedMixer(nn.Module):
    """Multi-scale grouped dilated convolution.

    ``s = sign(x + shift)``; ``y = norm(sum_d rprelu_d(conv3x3_d(s) + bias_d))`` over the dilations d = 1, 3, 5 with 4
    channel groups; zero padding follows the sign, so padded elements contribute 0.

    Args:
        channels: C, a multiple of 4.
        options: shared choices of the network.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Source: MODELS section 5.
    """

    def __init__(self, channels: int, options: ReactOptions) -> None:
        super().__init__()
        if channels % GROUPS:
            raise UsageError(f"the dilated mixer needs a multiple of {GROUPS} channels, got {channels}")
        self.sign = ShiftedSign(channels, options.sign_of_zero)
        self.convs = nn.ModuleList(
            ChannelwiseBinaryConv2d(
                channels,
                channels,
                3,
                padding=dilation,
                dilation=dilation,
                groups=GROUPS,
                bias=True,
                signed_input=True,
                sign_of_zero=options.sign_of_zero,
            )
            for dilation in DILATIONS
        )
        self.activations = nn.ModuleList(RPReLU(channels) for _ in DILATIONS)
        self.norm = options.make_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Mix neighbouring tokens."""
        signs = self.sign(x)
        first, second, third = (
            activation(conv(signs)) for conv, activation in zip(self.convs, self.activations, strict=True)
        )
        result: Tensor = self.norm(first + second + third)
        return result
