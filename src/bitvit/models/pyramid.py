"""What the four-stage networks (BinaryViT, BHViT) share: stem, stages, pooled head, features of each stage."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.errors import UsageError
from bitvit.layers.facts import packed_child
from bitvit.layers.maps import channels_first, channels_last
from bitvit.layers.patch_conv import PackedPatchConv
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling, PositionEmbedding
from bitvit.layers.react_linear import ReactOptions
from bitvit.models.timm_interface import StackedClassifier, chosen_stages, resize_positions

FEATURES = {"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}
"""How timm extracts features: the maps of all stages."""


def rising_rates(last: float, count: int) -> list[float]:
    """Return stochastic depths of ``count`` blocks, rising linearly from 0 to ``last``."""
    return [last * index / max(count - 1, 1) for index in range(count)]


class ResidualBlock(nn.Module):
    """Base of blocks that add a token mixer, an FFN and, where they have them, branches to their input."""

    branches: nn.Module | None

    def charge(self, call: Call) -> Charge:
        """The residual sums."""
        return Charge(other_flops=(2 if self.branches is None else 3) * call.elements_out)


class PyramidStem(nn.Module):
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

    def charge(self, call: Call) -> Charge:
        """Count nothing: all of the work is that of the children."""
        return Charge()  # all of its work is its children's

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


class PyramidStage(nn.Module):
    """Optional downsampling, then blocks that keep the map's shape."""

    def __init__(self, downsampling: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Run the stage on a map."""
        result: Tensor = self.blocks(self.downsampling(x))
        return result

    def charge(self, call: Call) -> Charge:
        """Count nothing: all of the work is that of the children."""
        return Charge()  # all of its work is its children's


class Pyramid(StackedClassifier):
    """A stem, stages of halving resolution, and a full-precision head on the average of the last map's tokens.

    Subclasses build ``stem``, ``stages``, ``norm`` and ``head``.

    Shape: images ``[B, 3, H, W]`` (normalized floats) -> logits ``[B, classes]``.
    """

    body = "stages"
    stem: nn.Module
    stages: nn.ModuleList
    norm: nn.Module
    head: nn.Module

    def __init__(
        self,
        embed_dims: Sequence[int],
        patch_size: int,
        num_classes: int,
        multiples: Sequence[int],
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
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

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the normalized last map, ``[B, h, w, C]``."""
        x = self.stem(images)
        for stage in self.stages:
            x = self._run(stage, x)
        result: Tensor = self.norm(x)
        return result

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average the tokens of a map and classify them."""
        return self.classify(x.flatten(1, 2).mean(dim=1), pre_logits)

    def _run(self, stage: nn.Module, x: Tensor) -> Tensor:
        if not self.grad_checkpointing:
            whole: Tensor = stage(x)
            return whole
        return self.run_blocks(stage.get_submodule("blocks"), stage.get_submodule("downsampling")(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Return the maps of chosen stages, as timm's feature extraction expects.

        Args:
            x: images.
            indices: stages (negative from the end), a number of last stages, or None for all.
            norm: normalize the last map.
            stop_early: skip the stages after the last chosen one.
            output_fmt: ``"NCHW"`` or ``"NHWC"``.
            intermediates_only: leave out the final map.
        """
        if output_fmt not in ("NCHW", "NHWC"):
            raise UsageError(f"feature maps come as NCHW or NHWC, not {output_fmt!r}")
        count = len(self.stages)
        wanted = set(chosen_stages(indices, count))
        maps: list[Tensor] = []
        features = self.stem(x)
        for index, stage in enumerate(self.stages):
            if stop_early and index > max(wanted):
                break
            features = self._run(stage, features)
            if index in wanted:
                last = index == count - 1
                found = self.norm(features) if norm and last else features
                maps.append(channels_first(found) if output_fmt == "NCHW" else found)
        if intermediates_only:
            return maps
        return self.norm(features), maps

    def charge(self, call: Call) -> Charge:
        """Count nothing: all of the work is that of the children."""
        return Charge()  # all of its work is its children's

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


def make_downsampling(
    in_channels: int,
    out_channels: int,
    size: tuple[int, int],
    options: ReactOptions,
    *,
    binary: bool,
    centre: bool,
) -> nn.Module:
    """Return the binary or the full-precision layer between two stages."""
    if binary:
        return BinaryDownsampling(in_channels, out_channels, size, options, centre=centre)
    return FloatDownsampling(in_channels, out_channels, size, options)


def make_head(options: ReactOptions, channels: int, num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Return the final normalization and the full-precision classifier."""
    head = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
    return options.make_norm(channels), head
