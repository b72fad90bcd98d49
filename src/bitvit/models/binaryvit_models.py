# ruff: noqa: PT028 (some names start with test_, but these are models)
"""The registered sizes of BinaryViT."""

from typing import Any

from timm.models import generate_default_cfgs, register_model

from bitvit.models.binaryvit import BinaryVit
from bitvit.models.pyramid_build import build_network, pyramid_cfg

_MICRO = {
    "patch_size": 2,
    "embed_dims": (32, 64, 128, 256),
    "depths": (2, 2, 4, 2),
    "num_heads": (1, 2, 4, 8),
    "mlp_dims": (128, 256, 512, 1024),
    "reductions": (4, 2, 1, 1),
}
_TEST = {
    "patch_size": 2,
    "embed_dims": (8, 16, 32, 64),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 2, 4),
    "mlp_dims": (32, 32, 64, 128),
    "reductions": (4, 2, 1, 1),
}
_ODD = _TEST | {
    "patch_size": 4,
    "embed_dims": (12, 36, 36, 108),
    "depths": (1, 2, 1, 1),
    "num_heads": (1, 3, 2, 4),
    "mlp_dims": (36, 72, 36, 324),
    "reductions": (2, 2, 1, 1),
}
_SOMEFP = {"binary_downsampling": False}

default_cfgs = generate_default_cfgs(
    {
        "binaryvit_small_patch4_224.untrained": pyramid_cfg(224, 1000),
        "binaryvit_small_patch4_224_somefp.untrained": pyramid_cfg(224, 1000),
        "binaryvit_micro_patch2_32.untrained": pyramid_cfg(32, 10),
        "binaryvit_micro_patch2_32_somefp.untrained": pyramid_cfg(32, 10),
        "test_binaryvit.untrained": pyramid_cfg(16, 10),
        "test_binaryvit_somefp.untrained": pyramid_cfg(16, 10),
        "test_binaryvit_odd.untrained": pyramid_cfg(32, 7),
        "test_binaryvit_layer_norm.untrained": pyramid_cfg(16, 10),
        "test_binaryvit_plain.untrained": pyramid_cfg(16, 10),
    }
)


@register_model
def binaryvit_small_patch4_224(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """BinaryViT-Small: widths 64 to 512, 19 blocks; images of a multiple of 32 pixels."""
    return build_network(BinaryVit, "binaryvit_small_patch4_224", pretrained, {}, **kwargs)


@register_model
def binaryvit_small_patch4_224_somefp(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """BinaryViT-Small with full-precision downsampling; images of a multiple of 32 pixels."""
    return build_network(BinaryVit, "binaryvit_small_patch4_224_somefp", pretrained, _SOMEFP, **kwargs)


@register_model
def binaryvit_micro_patch2_32(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """BinaryViT for 32 x 32 images: widths 32 to 256, 10 blocks; images of a multiple of 16 pixels."""
    return build_network(BinaryVit, "binaryvit_micro_patch2_32", pretrained, _MICRO, **kwargs)


@register_model
def binaryvit_micro_patch2_32_somefp(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """The micro size with full-precision downsampling; images of a multiple of 16 pixels."""
    return build_network(BinaryVit, "binaryvit_micro_patch2_32_somefp", pretrained, _MICRO | _SOMEFP, **kwargs)


@register_model
def test_binaryvit(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """Tiny, for tests: widths 8 to 64, 16 x 16 images, last map 1 x 1."""
    return build_network(BinaryVit, "test_binaryvit", pretrained, _TEST, **kwargs)


@register_model
def test_binaryvit_somefp(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """Tiny, with full-precision downsampling."""
    return build_network(BinaryVit, "test_binaryvit_somefp", pretrained, _TEST | _SOMEFP, **kwargs)


@register_model
def test_binaryvit_odd(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """Tiny, with widths that fill no word."""
    return build_network(BinaryVit, "test_binaryvit_odd", pretrained, _ODD, **kwargs)


@register_model
def test_binaryvit_layer_norm(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """Tiny, with LayerNorm in place of BatchNorm."""
    return build_network(BinaryVit, "test_binaryvit_layer_norm", pretrained, _TEST | {"norm": "layer"}, **kwargs)


@register_model
def test_binaryvit_plain(pretrained: bool = False, **kwargs: Any) -> BinaryVit:
    """Tiny, without pooling branches and affine outputs: the pyramid alone."""
    return build_network(
        BinaryVit, "test_binaryvit_plain", pretrained, _TEST | {"branch_kernels": (), "affine": False}, **kwargs
    )
