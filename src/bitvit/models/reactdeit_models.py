# ruff: noqa: PT028 (some names start with test_, but these are models)
"""The registered sizes of ReActDeiT.

Ablation rows are arguments of `timm.create_model`: ``global_pool="avg"``, ``branch_kernels=(3, 5)``, ``affine=True``;
the pyramid is `bitvit.models.binaryvit`.
"""

from typing import Any

from timm.models import generate_default_cfgs, register_model

from bitvit.models.pyramid_build import build_network, pyramid_cfg
from bitvit.models.reactdeit import ReactDeit

_MICRO = {"patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3, "mlp_dim": 384}
_TEST = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_dim": 128}
_ODD = {"patch_size": 5, "embed_dim": 36, "depth": 2, "num_heads": 3, "mlp_dim": 108}
_ALL = {"global_pool": "avg", "branch_kernels": (3, 5), "affine": True}

default_cfgs = generate_default_cfgs(
    {
        "reactdeit_small_patch16_224.untrained": pyramid_cfg(224, 1000, first_conv="patch_embed.proj"),
        "reactdeit_micro_patch4_32.untrained": pyramid_cfg(32, 10, first_conv="patch_embed.proj"),
        "test_reactdeit.untrained": pyramid_cfg(16, 10, first_conv="patch_embed.proj"),
        "test_reactdeit_odd.untrained": pyramid_cfg(20, 7, first_conv="patch_embed.proj"),
        "test_reactdeit_avg.untrained": pyramid_cfg(16, 10, first_conv="patch_embed.proj"),
        "test_reactdeit_all.untrained": pyramid_cfg(16, 10, first_conv="patch_embed.proj"),
    }
)


@register_model
def reactdeit_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """ReActDeiT of DeiT-Small's shape: 384 channels, 12 blocks; images of a multiple of 16 pixels."""
    return build_network(ReactDeit, "reactdeit_small_patch16_224", pretrained, {}, **kwargs)


@register_model
def reactdeit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """ReActDeiT for 32 x 32 images: 96 channels, 4 blocks; images of a multiple of 4 pixels."""
    return build_network(ReactDeit, "reactdeit_micro_patch4_32", pretrained, _MICRO, **kwargs)


@register_model
def test_reactdeit(pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """Tiny, for tests: 32 channels, 2 blocks."""
    return build_network(ReactDeit, "test_reactdeit", pretrained, _TEST, **kwargs)


@register_model
def test_reactdeit_odd(pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """Tiny, with widths that fill no word."""
    return build_network(ReactDeit, "test_reactdeit_odd", pretrained, _ODD, **kwargs)


@register_model
def test_reactdeit_avg(pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """Tiny, with an average-pooling head."""
    return build_network(ReactDeit, "test_reactdeit_avg", pretrained, _TEST | {"global_pool": "avg"}, **kwargs)


@register_model
def test_reactdeit_all(pretrained: bool = False, **kwargs: Any) -> ReactDeit:
    """Tiny, with every switch on but the pyramid."""
    return build_network(ReactDeit, "test_reactdeit_all", pretrained, _TEST | _ALL, **kwargs)
