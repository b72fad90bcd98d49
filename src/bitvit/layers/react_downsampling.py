"""Downsampling between the stages of BinaryViT and BHViT: a 2 x 2 convolution of stride 2, binary or full precision."""

import torch
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d
from bitvit.layers.maps import average_pool, channels_first, channels_last
from bitvit.layers.react_linear import ReactOptions, tile_channels
from bitvit.layers.rprelu import RPReLU


class PositionEmbedding(nn.Module):
    """Learned embedding added to every token: ``y = x + embedding``.

    Args:
        size: height and width of the map. channels: C.
        extra_tokens: class tokens in front.

    Shape: tokens ``[B, N, C] -> [B, N, C]``.
    """

    def __init__(self, size: tuple[int, int], channels: int, extra_tokens: int = 0) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Parameter(torch.empty(1, size[0] * size[1] + extra_tokens, channels))
        nn.init.trunc_normal_(self.embedding, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Add the embedding."""
        return x + self.embedding


class BinaryDownsampling(nn.Module):
    """Halve a map and widen its channels with a binary convolution.

    ``h = norm_in(x)``; ``y = rprelu(norm_out(conv_2x2/2(sign(h + shift))) + tile(avgpool_2x2/2(h))) + position``.

    Args:
        in_channels: C. out_channels: a multiple of C.
        size: height and width of the output map.
        centre: centre each filter before taking signs (see `ChannelwiseBinaryConv2d`).
        options: shared choices of the network.

    Shape: map ``[B, 2h, 2w, C] -> [B, h, w, C']``.

    Source: MODELS section 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: tuple[int, int], options: ReactOptions, *, centre: bool
    ) -> None:
        super().__init__()
        if out_channels % in_channels:
            raise UsageError(
                f"binary downsampling from {in_channels} to {out_channels} channels is impossible: "
                "each stage's width must be a multiple of the one before"
            )
        self.out_channels = out_channels
        self.norm_in = options.make_norm(in_channels)
        self.conv = ChannelwiseBinaryConv2d(
            in_channels, out_channels, 2, stride=2, centre=centre, sign_of_zero=options.sign_of_zero
        )
        self.norm_out = options.make_norm(out_channels)
        self.activation = RPReLU(out_channels)
        self.position = PositionEmbedding(size, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample a map."""
        h = self.norm_in(x)
        pooled = average_pool(h, (2, 2), (2, 2), (0, 0))
        y = self.activation(self.norm_out(self.conv(h)) + tile_channels(pooled, self.out_channels))
        result: Tensor = self.position(y.flatten(1, 2))
        return torch.unflatten(result, 1, self.position.size)


class FloatDownsampling(nn.Module):
    """Halve a map and widen its channels in full precision: ``y = norm_out(conv_2x2/2(norm_in(x))) + position``.

    Args and shape as `BinaryDownsampling`; the convolution has no bias. Source: the ``somefp`` variants.
    """

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int], options: ReactOptions) -> None:
        super().__init__()
        self.norm_in = options.make_norm(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 2, stride=2, bias=False)
        self.norm_out = options.make_norm(out_channels)
        self.position = PositionEmbedding(size, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample a map."""
        y = self.norm_out(channels_last(self.conv(channels_first(self.norm_in(x)))))
        result: Tensor = self.position(y.flatten(1, 2))
        return torch.unflatten(result, 1, self.position.size)
