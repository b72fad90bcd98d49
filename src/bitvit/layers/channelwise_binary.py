"""Binary linear layer and convolution with one weight scale for each output channel (BinaryViT, BHViT)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitvit.layers.maps import channels_first, channels_last
from bitvit.quantizers.channelwise_weight import channelwise_weight_signs
from bitvit.quantizers.recu import DEFAULT_TAU, recu_weight_signs
from bitvit.quantizers.triangular_sign import SignOfZero, triangular_sign


class ChannelwiseBinaryLinear(nn.Module):
    """Linear layer on the signs of its shifted input, with binary weights.

    ``y = (sign(x + input_shift) @ sign(W - mean_o(W)).T) * scale_o``, ``scale_o = mean_o(|W|)``; gradients as in
    `triangular_sign` and `channelwise_weight_signs`. There is no bias: a normalization follows.

    Args:
        in_features: K. out_features: O.
        recu: use the ReCU gradient for the weights; the forward value is the same.
        sign_of_zero: see `triangular_sign`.

    Shape: ``[..., K] -> [..., O]``.

    Source: MODELS section 3.
    """

    def __init__(
        self, in_features: int, out_features: int, *, recu: bool = False, sign_of_zero: SignOfZero = "plus"
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.recu = recu
        self.recu_tau = DEFAULT_TAU
        self.sign_of_zero: SignOfZero = sign_of_zero
        self.binarize_input = True
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.input_shift = nn.Parameter(torch.zeros(in_features))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def binary_weight(self) -> tuple[Tensor, Tensor]:
        """Return the weights' signs ``[O, K]`` and scales ``[O]``, with their training gradient."""
        if self.recu:
            return recu_weight_signs(self.weight, self.recu_tau, self.sign_of_zero)
        return channelwise_weight_signs(self.weight, sign_of_zero=self.sign_of_zero)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last axis."""
        shifted = x + self.input_shift
        if self.binarize_input:
            shifted = triangular_sign(shifted, self.sign_of_zero)
        signs, scale = self.binary_weight()
        return F.linear(shifted, signs) * scale

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; the shift stays in use."""
        self.binarize_input = enabled

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, recu={self.recu}"


class ChannelwiseBinaryConv2d(nn.Module):
    """Convolution of the signs of a shifted channels-last map, with binary weights.

    ``y = conv(sign(x + input_shift), sign(W - mean_o(W))) * scale_o + bias``. Zero padding is added **after** the sign:
    padded elements contribute 0, not +1 or -1. Gradients as in `ChannelwiseBinaryLinear`.

    Args:
        in_channels: C. out_channels: O.
        kernel_size: height and width of the kernel.
        stride: step of the kernel. dilation: spacing of its elements. groups: channel groups.
        padding: zeros added on each side.
        bias: add a learned bias per output channel.
        centre: subtract each filter's mean before taking signs (BHViT does, BinaryViT does not).
        signed_input: the input already consists of signs (several convolutions share one `ShiftedSign`): then this
            layer has no shift and takes no sign.
        sign_of_zero: see `triangular_sign`.

    Shape: ``[B, H, W, C] -> [B, H', W', O]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        centre: bool = True,
        signed_input: bool = False,
        sign_of_zero: SignOfZero = "plus",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.centre = centre
        self.sign_of_zero: SignOfZero = sign_of_zero
        self.signed_input = signed_input
        self.binarize_input = True
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.input_shift = None if signed_input else nn.Parameter(torch.zeros(in_channels))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def binary_weight(self) -> tuple[Tensor, Tensor]:
        """Return the weights' signs ``[O, C / groups, h, w]`` and scales ``[O]``, with their training gradient."""
        return channelwise_weight_signs(self.weight, self.centre, self.sign_of_zero)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a channels-last map."""
        shifted = x if self.input_shift is None else x + self.input_shift
        if self.binarize_input and not self.signed_input:
            shifted = triangular_sign(shifted, self.sign_of_zero)
        signs, scale = self.binary_weight()
        image = channels_first(shifted)
        product = F.conv2d(image, signs, None, self.stride, self.padding, self.dilation, self.groups)
        y = channels_last(product) * scale
        return y if self.bias is None else y + self.bias

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; the shift stays in use."""
        self.binarize_input = enabled

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, centre={self.centre}"
        )
