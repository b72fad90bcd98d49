# ruff: noqa: PT028 (some names start with test_, but these are models)
"""The registered sizes of BHViT."""

from typing import Any

from timm.models import generate_default_cfgs, register_model

from bitvit.models.bhvit import Bhvit
from bitvit.models.pyramid_build import build_network, pyramid_cfg

_TINY = {"depths": (2, 2, 6, 2)}
_MICRO = {
    "patch_size": 2,
    "embed_dims": (32, 64, 128, 256),
    "depths": (2, 2, 4, 2),
    "num_heads": (1, 1, 4, 8),
    "mlp_dims": (128, 256, 512, 1024),
    "window_size": 2,
}
_TEST = {
    "patch_size": 2,
    "embed_dims": (8, 16, 32, 64),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 1, 2, 4),
    "mlp_dims": (32, 32, 64, 128),
    "window_size": 2,
}
_ODD = _TEST | {
    "patch_size": 4,
    "embed_dims": (12, 36, 36, 108),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 1, 3, 4),
    "mlp_dims": (36, 72, 36, 324),
    "window_size": (1, 1, 3, 3),
}
_SOMEFP = {"binary_downsampling": False}

default_cfgs = generate_default_cfgs(
    {
        "bhvit_small_patch4_224.untrained": pyramid_cfg(224, 1000),
        "bhvit_small_patch4_224_somefp.untrained": pyramid_cfg(224, 1000),
        "bhvit_tiny_patch4_224.untrained": pyramid_cfg(224, 1000),
        "bhvit_tiny_patch4_224_somefp.untrained": pyramid_cfg(224, 1000),
        "bhvit_micro_patch2_32.untrained": pyramid_cfg(32, 10),
        "bhvit_micro_patch2_32_somefp.untrained": pyramid_cfg(32, 10),
        "test_bhvit.untrained": pyramid_cfg(32, 10),
        "test_bhvit_somefp.untrained": pyramid_cfg(32, 10),
        "test_bhvit_gsb.untrained": pyramid_cfg(32, 10),
        "test_bhvit_recu.untrained": pyramid_cfg(32, 10),
        "test_bhvit_odd.untrained": pyramid_cfg(96, 7),
        "test_bhvit_plain.untrained": pyramid_cfg(32, 10),
    }
)


@register_model
def bhvit_small_patch4_224(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """BHViT-Small: widths 64 to 512, 19 blocks; images of a multiple of 224 pixels."""
    return build_network(Bhvit, "bhvit_small_patch4_224", pretrained, {}, **kwargs)


@register_model
def bhvit_small_patch4_224_somefp(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """BHViT-Small with full-precision downsampling; images of a multiple of 224 pixels."""
    return build_network(Bhvit, "bhvit_small_patch4_224_somefp", pretrained, _SOMEFP, **kwargs)


@register_model
def bhvit_tiny_patch4_224(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """BHViT-Tiny: widths 64 to 512, 12 blocks; images of a multiple of 224 pixels."""
    return build_network(Bhvit, "bhvit_tiny_patch4_224", pretrained, _TINY, **kwargs)


@register_model
def bhvit_tiny_patch4_224_somefp(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """BHViT-Tiny with full-precision downsampling; images of a multiple of 224 pixels."""
    return build_network(Bhvit, "bhvit_tiny_patch4_224_somefp", pretrained, _TINY | _SOMEFP, **kwargs)


@register_model
def bhvit_micro_patch2_32(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """BHViT for 32 x 32 images: widths 32 to 256, windows of 2; images of a multiple of 32 pixels."""
    return build_network(Bhvit, "bhvit_micro_patch2_32", pretrained, _MICRO, **kwargs)


@register_model
def bhvit_micro_patch2_32_somefp(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """The micro size with full-precision downsampling; images of a multiple of 32 pixels."""
    return build_network(Bhvit, "bhvit_micro_patch2_32_somefp", pretrained, _MICRO | _SOMEFP, **kwargs)


@register_model
def test_bhvit(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Tiny, for tests: widths 8 to 64, windows of 2."""
    return build_network(Bhvit, "test_bhvit", pretrained, _TEST, **kwargs)


@register_model
def test_bhvit_somefp(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Tiny, with full-precision downsampling."""
    return build_network(Bhvit, "test_bhvit_somefp", pretrained, _TEST | _SOMEFP, **kwargs)


@register_model
def test_bhvit_gsb(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Tiny, with GSB attention."""
    return build_network(Bhvit, "test_bhvit_gsb", pretrained, _TEST | {"attention": "banded"}, **kwargs)


@register_model
def test_bhvit_recu(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Tiny, with ReCU gradients."""
    return build_network(Bhvit, "test_bhvit_recu", pretrained, _TEST | {"recu": True}, **kwargs)


@register_model
def test_bhvit_odd(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Tiny, with widths that fill no word, windows of 3, several windows in the third stage."""
    return build_network(Bhvit, "test_bhvit_odd", pretrained, _ODD, **kwargs)


@register_model
def test_bhvit_plain(pretrained: bool = False, **kwargs: Any) -> Bhvit:
    """Tiny, without shift branches and affine outputs."""
    return build_network(
        Bhvit, "test_bhvit_plain", pretrained, _TEST | {"branch_kernels": (), "affine": False}, **kwargs
    )
