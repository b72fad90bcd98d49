"""What the four-stage networks (BinaryViT, BHViT) share: stem, stages, pooled head, features of each stage."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from bitvit.charge import Call, Charge, NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.facts import packed_child
from bitvit.layers.maps import channels_first, channels_last
from bitvit.layers.patch_conv import PackedPatchConv
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling, PositionEmbedding
from bitvit.layers.react_linear import ReactMlp, ReactOptions
from bitvit.models.entrypoints import as_pair
from bitvit.models.timm_interface import StackedClassifier, resize_positions

FEATURES = {"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}
"""How timm extracts features: the maps of all stages."""


def rising_rates(last: float, count: int) -> list[float]:
    """Return stochastic depths of ``count`` blocks, rising linearly from 0 to ``last``."""
    return [last * index / max(count - 1, 1) for index in range(count)]


class ResidualBlock(nn.Module, ABC):
    """Base of blocks: a token mixer and an FFN, each with a residual; optional branches beside the FFN.

    ``x = x + mix(norm1(x))``; ``h = norm2(x)``; ``x = x + mlp(h) + branches(h)``.

    Args:
        mixer: what `mix` runs; a child under the name `mixer_name`.
        channels: C.
        hidden: width of the FFN.
        options: shared choices of the network.
        branches: what runs beside the FFN, or None.
        affine: scale and shift the FFN's output (`ChannelAffine`).
        drop_path: probability of stochastic depth.

    Shape: ``[..., C] -> [..., C]``, a map or tokens.
    """

    mixer_name: ClassVar[str] = "attention"

    def __init__(
        self,
        mixer: nn.Module,
        channels: int,
        hidden: int,
        options: ReactOptions,
        *,
        branches: nn.Module | None,
        affine: bool,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1 = options.make_norm(channels)
        self.add_module(self.mixer_name, mixer)
        self.norm2 = options.make_norm(channels)
        self.mlp = ReactMlp(channels, hidden, options, affine=affine)
        self.branches = branches
        self.drop_path: nn.Module = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    @abstractmethod
    def mix(self, x: Tensor) -> Tensor:
        """Mix normalized tokens; keeps the shape."""

    def branch(self, h: Tensor, branches: nn.Module) -> Tensor:
        """Run the branches on what the FFN sees; keeps the shape."""
        result: Tensor = branches(h)
        return result

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        x = x + self.drop_path(self.mix(self.norm1(x)))
        h = self.norm2(x)
        update = self.mlp(h)
        if self.branches is not None:
            update = update + self.branch(h, self.branches)
        result: Tensor = x + self.drop_path(update)
        return result

    def charge(self, call: Call) -> Charge:
        """The residual sums."""
        return Charge(other_flops=(2 if self.branches is None else 3) * call.elements_out)


class PyramidStem(NoOwnWork, nn.Module):
    """Patch convolution in full precision, normalization, optional GELU, position embedding.

    Args:
        in_channels: channels of the image.
        channels: C.
        patch_size: kernel and stride of the convolution.
        size: height and width of the output map.
        norm: normalization of C channels.
        gelu: apply the exact (erf) GELU after the normalization.

    Shape: images ``[B, 3, h p, w p]`` -> map ``[B, h, w, C]``.
    """

    norm_after = ("conv", "norm")

    def __init__(
        self, in_channels: int, channels: int, patch_size: int, size: tuple[int, int], norm: nn.Module, *, gelu: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, patch_size, stride=patch_size)
        self.norm = norm
        self.activation: nn.Module = nn.GELU() if gelu else nn.Identity()
        self.position = PositionEmbedding(size, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Embed the images."""
        x = self.activation(self.norm(channels_last(self.conv(images))))
        result: Tensor = self.position(x.flatten(1, 2))
        return torch.unflatten(result, 1, self.position.size)

    def packed_stem(self, mean: Tensor, std: Tensor) -> tuple[nn.Module, tuple[int, int]]:
        """Return the stem on image bytes, and the height and width of the images that it takes."""
        height, width = self.position.size
        patch = int(self.conv.kernel_size[0])
        return PackedPyramidStem(self, mean, std), (height * patch, width * patch)


class PackedPyramidStem(nn.Module):
    """Packed `PyramidStem`: uint8 `[B,h p,w p,I]` -> map `[B,h,w,C]`."""

    def __init__(self, layer: PyramidStem, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.conv = PackedPatchConv(layer.conv, mean, std)
        self.norm = packed_child(layer.norm)
        self.activation = layer.activation
        self.position = layer.position

    def forward(self, image: Tensor) -> Tensor:
        """Map image bytes, uint8 ``[B, h p, w p, I]``, to a map, float32 ``[B, h, w, C]``."""
        x: Tensor = self.position(self.activation(self.norm(self.conv(image))))
        return x.reshape(len(x), *self.position.size, x.shape[-1])


class PyramidStage(NoOwnWork, nn.Module):
    """Optional downsampling, then blocks that keep the map's shape."""

    def __init__(self, downsampling: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Run the stage on a map."""
        result: Tensor = self.blocks(self.downsampling(x))
        return result


class Pyramid(StackedClassifier):
    """A stem, stages of halving resolution, and a full-precision head on the average of the last map's tokens.

    Args:
        make_block: from the number of a stage and a probability of stochastic depth to a block of that stage.
        options: shared choices of the network.
        img_size: height and width of the images.
        patch_size: kernel and stride of the stem.
        in_chans: image channels.
        num_classes: classes; 0 removes the head.
        embed_dims: widths of the stages, each a multiple of the one before.
        depths: blocks of each stage.
        multiples: what height and width of each stage's map must be multiples of.
        binary_downsampling: False keeps the layers between stages in full precision.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        drop_rate: dropout before the head.

    Shape: images ``[B, 3, H, W]`` (normalized floats) -> logits ``[B, classes]``.

    Raises:
        UsageError: sizes that do not fit each other.
    """

    body = "stages"
    stem_gelu: ClassVar[bool]
    """Whether a GELU follows the stem's normalization."""
    centre_downsampling: ClassVar[bool]
    """See ``centre`` of `BinaryDownsampling`."""

    def __init__(
        self,
        make_block: Callable[[int, float], ResidualBlock],
        options: ReactOptions,
        *,
        img_size: int | Sequence[int],
        patch_size: int,
        in_chans: int,
        num_classes: int,
        embed_dims: Sequence[int],
        depths: Sequence[int],
        multiples: Sequence[int],
        binary_downsampling: bool,
        drop_path_rate: float,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.options = options
        self.patch_size = patch_size
        self.multiples = tuple(multiples)
        self.drop_rate = drop_rate
        self.embed_dims = tuple(embed_dims)
        self.num_features = self.head_hidden_size = self.embed_dims[-1]
        self.num_classes = num_classes
        self.feature_info = [
            {"num_chs": dim, "reduction": patch_size * 2**index, "module": f"stages.{index}"}
            for index, dim in enumerate(self.embed_dims)
        ]
        sizes = stage_sizes(as_pair(img_size), patch_size, len(depths), multiples)
        norm = options.make_norm(embed_dims[0])
        self.stem = PyramidStem(in_chans, embed_dims[0], patch_size, sizes[0], norm, gelu=self.stem_gelu)
        rates = iter(rising_rates(drop_path_rate, sum(depths)))
        self.stages = nn.ModuleList()
        for i, depth in enumerate(depths):
            downsampling: nn.Module = nn.Identity()
            if i > 0:
                widths = embed_dims[i - 1], embed_dims[i]
                downsampling = (
                    BinaryDownsampling(*widths, sizes[i], options, centre=self.centre_downsampling)
                    if binary_downsampling
                    else FloatDownsampling(*widths, sizes[i], options)
                )
            self.stages.append(PyramidStage(downsampling, [make_block(i, next(rates)) for _ in range(depth)]))
        self.norm = options.make_norm(embed_dims[-1])
        self.head: nn.Module = nn.Linear(embed_dims[-1], num_classes) if num_classes else nn.Identity()

    def embed(self, images: Tensor) -> Tensor:
        """Return the stem's map, ``[B, h, w, C]``."""
        result: Tensor = self.stem(images)
        return result

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the normalized last map, ``[B, h, w, C]``."""
        x = self.embed(images)
        for stage in self.stages:
            x = self.run_part(stage, x)
        result: Tensor = self.norm(x)
        return result

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average the tokens of a map and classify them."""
        return self.classify(x.flatten(1, 2).mean(dim=1), pre_logits)

    def run_part(self, part: nn.Module, x: Tensor) -> Tensor:
        """Run one stage."""
        if not self.grad_checkpointing:
            return super().run_part(part, x)
        return self.run_blocks(part.get_submodule("blocks"), part.get_submodule("downsampling")(x))

    def normalize(self, index: int, features: Tensor) -> Tensor:
        """Normalize the last map; the others have other widths and stay as they are."""
        return super().normalize(index, features) if index == len(self.stages) - 1 else features

    def feature_map(self, features: Tensor, output_fmt: str) -> Tensor:
        """Lay out a map."""
        return channels_first(features) if output_fmt == "NCHW" else features

    def resize(self, img_size: tuple[int, int]) -> None:
        """Resample the position embeddings of all stages."""
        sizes = stage_sizes(img_size, self.patch_size, len(self.stages), self.multiples)
        names = ["stem.position", *(f"stages.{index}.downsampling.position" for index in range(1, len(sizes)))]
        resize_positions(self, dict(zip(names, sizes, strict=True)))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return timm's groups of parameters, for learning rates that fall with the depth."""
        blocks = [(r"^stages\.(\d+)\.downsampling", (0,)), (r"^stages\.(\d+)\.blocks\.(\d+)", None)]
        whole = [(r"^stages\.(\d+)", None)]
        return {"stem": r"^stem", "blocks": [*(whole if coarse else blocks), (r"^norm", (99999,))]}

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters that weight decay spares."""
        return {name for name, _ in self.named_parameters() if name.endswith("embedding")}


def stage_sizes(
    img_size: tuple[int, int], patch_size: int, count: int, multiples: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the size of each stage's map.

    Args:
        img_size: height and width of the image.
        patch_size: stride of the stem.
        count: number of stages.
        multiples: what each stage's height and width must be a multiple of.

    Raises:
        UsageError: the image's size does not suit the network; says which sizes do.
    """
    step = max(patch_size * 2**index * multiple for index, multiple in enumerate(multiples))
    for index, multiple in enumerate(multiples):
        unit = patch_size * 2**index * multiple
        if img_size[0] % unit or img_size[1] % unit:
            raise UsageError(
                f"an image of {img_size[0]} x {img_size[1]} does not suit this network: height and width must be "
                f"multiples of {step}"
            )
    return [(img_size[0] // (patch_size * 2**i), img_size[1] // (patch_size * 2**i)) for i in range(count)]
