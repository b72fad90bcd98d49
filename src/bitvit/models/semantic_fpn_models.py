"""The registered segmentation networks: backbones of all families with the Semantic FPN decoder.

A name is that of the backbone with `fpn` and the image size: `bhvit_small_fpn_patch4_448` is BHViT-Small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from bitvit.layers import has_binary_layers, to_full_precision
from bitvit.layers.react_linear import ReactOptions
from bitvit.models.comparison.binary_resnet import BinaryResNet
from bitvit.models.entrypoints import Variant, as_pair, build_network, model_cfg, register_family
from bitvit.models.pyramid import Pyramid
from bitvit.models.semantic_fpn import PyramidMaps, ResNetMaps, SegmentationNetwork, TransformerMaps


@dataclass(frozen=True)
class FpnSize:
    """A segmentation network: registered name of its backbone, side of the images, width of the decoder.

    ``finest``: see `TransformerMaps` and `PyramidMaps`. ``widths``: of the stages of a ResNet, ``stem_stride``: of its
    first convolution where that is another. ``arguments``: further arguments of the backbone. ``binary``: False for a
    network in full precision, with a pyramid as backbone that of the same architecture as the binary one.
    """

    backbone: str
    image_size: int
    channels: int
    num_classes: int = 150
    finest: int = 1
    widths: tuple[int, ...] = ()
    stem_stride: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    binary: bool = True


_RESNET = (64, 128, 256, 512)
_RESNET_MICRO = (16, 32, 64, 128)
# Pyramids for small images: at first wider than a patch has values, so that the stem loses none; then shallow, and wide
# where maps are small and width is cheap.
_MICRO = {
    "patch_size": 4,
    "embed_dims": (64, 128, 256, 256),
    "depths": (1, 1, 2, 1),
    "mlp_dims": (128, 256, 512, 512),
    "num_heads": (1, 1, 4, 4),
}
# Without shift branches and affine outputs a step takes two thirds of the time.
_BHVIT_MICRO = _MICRO | {"branch_kernels": (), "affine": False}
# Offsets of the attention for every pair of tokens would outweigh the network at 786 tokens: one for each query.
_ROW_OFFSET = {"scheme": {"offset": "row"}}

SIZES: dict[str, FpnSize] = {
    "bhvit_small_fpn_patch4_448": FpnSize("bhvit_small_patch4_224", 448, 128),
    "bhvit_tiny_fpn_patch4_448": FpnSize("bhvit_tiny_patch4_224", 448, 128),
    "binaryvit_small_fpn_patch4_448": FpnSize("binaryvit_small_patch4_224", 448, 128),
    "gsb_deit_small_fpn_patch16_448": FpnSize("gsb_deit_small_patch16_224", 448, 96, finest=4, arguments=_ROW_OFFSET),
    "gsb_deit_tiny_fpn_patch16_448": FpnSize("gsb_deit_tiny_patch16_224", 448, 96, finest=4, arguments=_ROW_OFFSET),
    "reactnet_resnet18_fpn_448": FpnSize("reactnet_resnet18_224", 448, 128, widths=_RESNET),
    "bhvit_micro_fpn_patch4_64": FpnSize("bhvit_micro_patch2_32", 64, 64, 11, arguments=_BHVIT_MICRO),
    "binaryvit_micro_fpn_patch4_64": FpnSize(
        "binaryvit_micro_patch2_32", 64, 64, 11, arguments=_MICRO | {"reductions": (2, 2, 1, 1)}
    ),
    "gsb_deit_micro_fpn_patch8_64": FpnSize("gsb_deit_micro_patch8_32", 64, 48, 11, finest=2),
    "reactnet_resnet18_micro_fpn_64": FpnSize(
        "reactnet_resnet18_micro_32", 64, 32, 11, widths=_RESNET_MICRO, stem_stride=2
    ),
    "resnet18_fpn_448": FpnSize("resnet18_224", 448, 128, widths=_RESNET, binary=False),
    "deit_small_fpn_patch16_448": FpnSize("deit_small_patch16_224", 448, 96, finest=4, binary=False),
    "resnet18_micro_fpn_64": FpnSize(
        "resnet18_micro_32", 64, 32, 11, widths=_RESNET_MICRO, stem_stride=2, binary=False
    ),
    "deit_micro_fpn_patch8_64": FpnSize(
        "deit_micro_patch4_32", 64, 48, 11, finest=2, arguments={"patch_size": 8}, binary=False
    ),
    "test_deit_fpn": FpnSize("deit_test_patch4_16", 16, 16, 5, finest=2, binary=False),
    "test_resnet18_fpn": FpnSize("test_resnet18", 16, 8, 5, widths=(8, 8, 16, 16), binary=False),
    "test_bhvit_fpn": FpnSize("test_bhvit", 32, 16, 5),
    "test_bhvit_odd_fpn": FpnSize("test_bhvit_odd", 96, 36, 7),
    "test_binaryvit_fpn": FpnSize("test_binaryvit", 16, 16, 5),
    "test_gsb_deit_fpn": FpnSize("test_gsb_deit", 16, 16, 5, finest=2),
    "test_gsb_deit_odd_fpn": FpnSize("test_gsb_deit_odd", 20, 18, 3, finest=2, arguments=_ROW_OFFSET),
    "test_binary_deit_fpn": FpnSize("test_binary_deit", 16, 16, 5, finest=2),
    "test_reactnet_resnet18_fpn": FpnSize("test_reactnet_resnet18", 16, 8, 5, widths=(8, 8, 16, 16)),
}
"""Registered name -> its network."""

_WITH_FLOAT_FORM = (
    "bhvit_small_",
    "bhvit_tiny_",
    "bhvit_micro_",
    "binaryvit_",
    "gsb_deit_",
    "test_bhvit_fpn",
    "test_gsb_deit_fpn",
)
SIZES |= {
    f"{name}_float": replace(size, binary=False) for name, size in SIZES.items() if name.startswith(_WITH_FLOAT_FORM)
}


def is_packable_network(name: str) -> bool:
    """Return whether a network of `SIZES` has a packed form: it is binary, and its backbone is not for comparison."""
    return SIZES[name].binary and not SIZES[name].widths


def build_segmentation_network(
    size: FpnSize,
    img_size: int | Sequence[int] | None = None,
    num_classes: int | None = None,
    channels: int | None = None,
    dropout: float = 0.1,
    **kwargs: Any,
) -> SegmentationNetwork:
    """Build a network of `SIZES`.

    Args:
        size: which one.
        img_size: height and width of the images.
        num_classes: classes.
        channels: width of the decoder.
        dropout: share of channels that training drops before the classifier.
        **kwargs: arguments of the backbone.
    """
    height, width = as_pair(size.image_size if img_size is None else img_size)
    resized = (height, width) if height != width else height
    backbone = timm.create_model(size.backbone, img_size=resized, num_classes=0, **(size.arguments | kwargs))
    maps: nn.Module
    # A form in full precision has the layers of the binary network first, so that its weights have the same names.
    options: ReactOptions | None = ReactOptions() if size.binary or has_binary_layers(backbone) else None
    if isinstance(backbone, Pyramid):
        assert isinstance(backbone.options, ReactOptions)
        options = backbone.options
        maps = PyramidMaps(backbone, size.finest)
    elif isinstance(backbone, VisionTransformer):
        maps = TransformerMaps(backbone, size.finest)
    else:
        assert isinstance(backbone, BinaryResNet)
        if size.stem_stride:
            old = backbone.conv1
            backbone.conv1 = nn.Conv2d(old.in_channels, old.out_channels, 3, size.stem_stride, 1, bias=False)
        maps = ResNetMaps(backbone, (height, width), size.widths)
    network = SegmentationNetwork(
        maps,
        (height, width),
        size.num_classes if num_classes is None else num_classes,
        size.channels if channels is None else channels,
        options,
        dropout,
    )
    if not size.binary:
        to_full_precision(network)
    return network


def build(name: str, pretrained: bool = False, **kwargs: Any) -> SegmentationNetwork:
    """Build a network under a registered name; see `build_segmentation_network` for the arguments."""
    network: Any = partial(build_segmentation_network, SIZES[name])
    model: SegmentationNetwork = build_network(network, name, pretrained, **kwargs)
    return model


VARIANTS = {
    name: Variant(
        f"{size.backbone} with Semantic FPN, {'in full precision, ' if name.endswith('_float') else ''}"
        f"{size.image_size} pixels.",
        *(size.image_size, size.num_classes),
    )
    for name, size in SIZES.items()
}


def _cfg(variant: Variant) -> dict[str, Any]:
    return model_cfg(variant.image_size, variant.num_classes, "backbone", "decoder.classifier", crop_pct=1.0)


register_family(__name__, build, VARIANTS, _cfg)
