"""Segmentation networks: a backbone for maps of four sizes, and the Semantic FPN decoder."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bitvit.charge import NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.maps import channels_last
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.semantic_fpn import MapPool, ScoreResize, SemanticFpn
from bitvit.models.comparison.binary_resnet import BinaryResNet
from bitvit.models.entrypoints import as_pair
from bitvit.models.pyramid import Pyramid


class PyramidMaps(NoOwnWork, nn.Module):
    """The maps of a pyramid's stages (BHViT, BinaryViT), finest first.

    Args:
        backbone: the pyramid; its head and last normalization are left out.
        finest: how many times finer the decoder makes every map.
    """

    def __init__(self, backbone: Pyramid, finest: int = 1) -> None:
        super().__init__()
        self.expansions: tuple[int, ...] | None = (finest,) * len(backbone.embed_dims)
        self.stem = backbone.stem
        self.stages = backbone.stages
        self.channels = backbone.embed_dims

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images ``[B, 3, H, W]`` -> maps ``[B, h / 2^i, w / 2^i, C_i]``."""
        maps: list[Tensor] = []
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class TransformerMaps(NoOwnWork, nn.Module):
    """Four maps of a plain vision transformer: the tokens after a quarter, a half, three quarters and all blocks.

    Class and distillation token take part in the attention and are left out of the maps. All maps have one resolution;
    the decoder makes some finer (`PatchExpansion`), and the others are pooled here.

    Args:
        backbone: the transformer; its head and last normalization are removed.
        finest: how many times finer than the patches the decoder's finest map is, a power of two; the maps become
            ``finest``, ``finest / 2``, ``finest / 4`` and ``finest / 8`` times as fine.
    """

    def __init__(self, backbone: VisionTransformer, finest: int) -> None:
        super().__init__()
        backbone.reset_classifier(0)
        backbone.norm = nn.Identity()
        self.vit = backbone
        self.grid: tuple[int, int] = backbone.patch_embed.grid_size
        depth = len(backbone.blocks)
        self.taken = tuple(max(round(depth * quarter / 4), 1) for quarter in range(1, 5))
        self.channels = (backbone.embed_dim,) * 4
        self.expansions: tuple[int, ...] | None = tuple(max(finest // 2**level, 1) for level in range(4))
        pools = [max(2**level // finest, 1) for level in range(4)]
        self.pools = nn.ModuleList(MapPool(pool) if pool > 1 else nn.Identity() for pool in pools)
        if self.grid[0] % pools[-1] or self.grid[1] % pools[-1]:
            raise UsageError(
                f"{self.grid[0]} x {self.grid[1]} patches do not suit this network: both must be multiples of "
                f"{pools[-1]}; choose another image size"
            )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images ``[B, 3, H, W]`` -> maps ``[B, h / p_i, w / p_i, C]``."""
        x = self.vit.norm_pre(self.vit.patch_drop(self.vit._pos_embed(self.vit.patch_embed(images))))
        after: list[Tensor] = []
        for block in self.vit.blocks:
            x = block(x)
            after.append(x)
        maps: list[Tensor] = []
        for count, pool in zip(self.taken, self.pools, strict=True):
            tokens = torch.unflatten(after[count - 1][:, self.vit.num_prefix_tokens :], 1, self.grid)
            maps.append(pool(tokens))
        return maps


class ResNetMaps(NoOwnWork, nn.Module):
    """The maps of a ResNet's stages, finest first."""

    expansions: tuple[int, ...] | None = None

    def __init__(self, backbone: BinaryResNet, img_size: tuple[int, int], channels: Sequence[int]) -> None:
        super().__init__()
        backbone.reset_classifier(0)
        self.resnet = backbone
        self.channels = tuple(channels)
        step = 8 * (1 if isinstance(backbone.maxpool, nn.Identity) else 2)
        step *= int(backbone.conv1.stride[0])
        if img_size[0] % step or img_size[1] % step:
            raise UsageError(
                f"an image of {img_size[0]} x {img_size[1]} does not suit this network: height and width must be "
                f"multiples of {step}"
            )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images ``[B, 3, H, W]`` -> maps ``[B, h / 2^i, w / 2^i, C_i]``."""
        net = self.resnet
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        maps: list[Tensor] = []
        for stage in range(1, 5):
            x = net.get_submodule(f"layer{stage}")(x)
            maps.append(channels_last(x))
        return maps


class SegmentationNetwork(NoOwnWork, nn.Module):
    """A backbone and a decoder; scores are enlarged bilinearly to the size of the image.

    Args:
        backbone: module from images to four maps, with the attributes ``channels`` and ``expansions``.
        img_size: height and width of the images.
        num_classes: classes.
        channels: width of the decoder.
        options: shared choices of the decoder's layers; None for full precision.
        dropout: share of channels that training drops before the classifier.

    Shape: images ``[B, 3, H, W]`` (normalized floats) -> scores ``[B, classes, H, W]``.
    """

    is_for_pixels = True
    """See `bitvit.models.output_kind`."""

    def __init__(
        self,
        backbone: nn.Module,
        img_size: int | Sequence[int],
        num_classes: int,
        channels: int,
        options: ReactOptions | None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UsageError(f"a segmentation needs at least 2 classes, not {num_classes}")
        self.img_size = as_pair(img_size)
        self.num_classes = num_classes
        self.backbone = backbone
        widths: Any = backbone.channels
        expansions: Any = backbone.expansions
        self.decoder = SemanticFpn(widths, channels, num_classes, options, expansions=expansions, dropout=dropout)
        self.enlarge = ScoreResize(self.img_size)

    def scores(self, images: Tensor) -> Tensor:
        """Return the scores before they are enlarged: map ``[B, h, w, classes]``."""
        result: Tensor = self.decoder(self.backbone(images))
        return result

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of every pixel."""
        result: Tensor = self.enlarge(self.scores(images))
        return result

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that weight decay spares."""
        return {name for name, _ in self.named_parameters() if name.endswith(("embedding", "pos_embed", "_token"))}
