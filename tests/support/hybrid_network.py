"""A binary hybrid of one's own: dilated convolutions first, GSB attention later. As shown in docs/own-model.md."""

from typing import Any

from timm.layers import PatchEmbed
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from bitvit.layers import (
    BinaryAttention,
    BinaryDownsampling,
    BinaryMlp,
    QuantConv2d,
    ReactMlp,
    ReactOptions,
    RPReLU,
    TokenBatchNorm,
    step_conv,
    step_linear,
)
from bitvit.quantizers import ChannelSignWeight, GsbAttention, GsbValue, ShiftedSign


class ConvolutionBlock(nn.Module):
    """A dilated binary convolution and a binary FFN on a map [B, H, W, C]."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = TokenBatchNorm(channels)
        self.conv = QuantConv2d(
            channels,
            channels,
            3,
            padding=dilation,
            dilation=dilation,
            groups=2,
            weight=ChannelSignWeight(),
            input=ShiftedSign(channels),
        )
        self.activation = RPReLU(channels)
        self.mlp = ReactMlp(channels, 2 * channels, ReactOptions())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.activation(self.conv(self.norm(x)))
        y: Tensor = x + self.mlp(x)
        return y


class AttentionBlock(nn.Module):
    """GSB attention and its FFN on tokens [B, N, C]."""

    def __init__(self, channels: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attention = BinaryAttention(
            channels, heads, GsbAttention(heads, tokens), GsbValue(heads, channels // heads)
        )
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = BinaryMlp.of_width(channels, 3 * channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class Hybrid(nn.Module):
    """Images [B, 3, 16, 16] -> logits [B, classes]."""

    def __init__(
        self, img_size: int = 16, in_chans: int = 3, num_classes: int = 10, channels: int = 28, heads: int = 4
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed = PatchEmbed(img_size, 2, in_chans, channels, output_fmt="NHWC")
        self.embed.proj = step_conv(self.embed.proj)
        side = img_size // 4
        self.convolutions = nn.Sequential(ConvolutionBlock(channels, 1), ConvolutionBlock(channels, 2))
        self.downsampling = BinaryDownsampling(channels, 2 * channels, (side, side), ReactOptions(), centre=True)
        self.attentions = nn.Sequential(*(AttentionBlock(2 * channels, heads, side * side) for _ in range(2)))
        self.norm = nn.LayerNorm(2 * channels)
        self.dropout = nn.Dropout(0.1)
        self.head = step_linear(nn.Linear(2 * channels, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        x = self.convolutions(self.embed(images))
        x = self.attentions(self.downsampling(x).flatten(1, 2))
        logits: Tensor = self.head(self.dropout(self.norm(x).mean(dim=1)))
        return logits


default_cfgs = generate_default_cfgs(
    {
        "hybrid_micro_patch2_16.untrained": {
            "url": "",
            "num_classes": 10,
            "input_size": (3, 16, 16),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "first_conv": "embed.proj",
            "classifier": "head",
        }
    }
)


@register_model
def hybrid_micro_patch2_16(pretrained: bool = False, **kwargs: Any) -> Hybrid:
    """The name under which recipes and checkpoints find it."""
    model: Hybrid = build_model_with_cfg(Hybrid, "hybrid_micro_patch2_16", pretrained, **kwargs)
    return model
