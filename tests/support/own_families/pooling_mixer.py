"""A family of one's own in one file: pooling instead of attention, with binary feed-forward layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from timm.layers import PatchEmbed
from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.layers import (
    PoolingBranches,
    PositionEmbedding,
    ReactMlp,
    ReactOptions,
    TokenBatchNorm,
    step_conv,
    step_linear,
)
from bitvit.models.entrypoints import Variant, as_pair, build_network, model_cfg, register_family


class PoolingBlock(nn.Module):
    """A binary FFN beside average pooling, on a map [B, H, W, C]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = TokenBatchNorm(channels)
        self.mlp = ReactMlp(channels, 2 * channels, ReactOptions())
        self.branches = PoolingBranches(channels, (3,), affine=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        y: Tensor = x + self.mlp(h) + self.branches(h)
        return y

    def charge(self, call: Call) -> Charge:
        """The residual sums."""
        return Charge(other_flops=2 * call.elements_out)


class PoolingMixer(nn.Module):
    """Images [B, in_chans, H, W] -> logits [B, classes]."""

    def __init__(
        self,
        img_size: int | Sequence[int] = 16,
        in_chans: int = 3,
        num_classes: int = 10,
        channels: int = 24,
        depth: int = 2,
        tied: Literal["none", "blocks", "weights"] = "none",
    ) -> None:
        super().__init__()
        height, width = as_pair(img_size)
        self.num_classes = num_classes
        self.grid = (height // 4, width // 4)
        self.embed = PatchEmbed((height, width), 4, in_chans, channels)
        self.embed.proj = step_conv(self.embed.proj)
        self.position = PositionEmbedding(self.grid, channels)
        blocks = [PoolingBlock(channels) for _ in range(depth)]
        if tied == "blocks":
            blocks = blocks[:1] * depth
        for block in blocks if tied == "weights" else ():
            block.mlp.expand.linear.weight = blocks[0].mlp.expand.linear.weight
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(channels)
        self.head = step_linear(nn.Linear(channels, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(self.position(self.embed(images)).unflatten(1, self.grid))
        logits: Tensor = self.head(self.norm(x.flatten(1, 2)).mean(dim=1))
        return logits


def _build(name: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    return build_network(PoolingMixer, name, pretrained, **kwargs)


register_family(
    __name__,
    _build,
    {"test_pooling_mixer": Variant("Two blocks of 24 channels, for a test.", 16, 10)},
    lambda variant: model_cfg(variant.image_size, variant.num_classes, "embed.proj"),
)
