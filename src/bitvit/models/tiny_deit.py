# ruff: noqa: PT028 (the names start with test_, but these are models)
"""Tiny binary DeiTs for tests, one for each choice of a scheme; each runs in milliseconds."""

from dataclasses import replace
from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer

from bitvit.models.deit_build import ODD_20, TEST_16, build_student, deit_cfg
from bitvit.models.scheme import SCHEMES

_GSB, _BASELINE = SCHEMES["gsb"], SCHEMES["baseline"]

default_cfgs = generate_default_cfgs(
    {
        "test_gsb_deit.untrained": deit_cfg(16, 10),
        "test_gsb_deit_odd.untrained": deit_cfg(20, 7),
        "test_gsb_deit_single.untrained": deit_cfg(16, 10, distilled=False),
        "test_gsb_deit_float_offset.untrained": deit_cfg(16, 10),
        "test_gsb_deit_row_offset.untrained": deit_cfg(16, 10),
        "test_gsb_deit_mean_offset.untrained": deit_cfg(16, 10),
        "test_gsb_deit_no_offset.untrained": deit_cfg(16, 10),
        "test_gsb_deit_no_components.untrained": deit_cfg(16, 10),
        "test_gsb_deit_many_components.untrained": deit_cfg(20, 7),
        "test_gsb_deit_mask_base.untrained": deit_cfg(16, 10),
        "test_gsb_deit_sign.untrained": deit_cfg(16, 10),
        "test_gsb_deit_plain_value.untrained": deit_cfg(16, 10),
        "test_gsb_deit_float_ends.untrained": deit_cfg(16, 10),
        "test_binary_deit.untrained": deit_cfg(16, 10),
        "test_binary_deit_odd.untrained": deit_cfg(20, 7),
    }
)


@register_model
def test_gsb_deit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB with its defaults: 32 channels, 2 blocks, 2 heads, 18 tokens."""
    return build_student("test_gsb_deit", TEST_16, _GSB, pretrained, **kwargs)


@register_model
def test_gsb_deit_odd(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Widths that fill no word: 36 channels, heads of 12, 126 hidden channels."""
    return build_student("test_gsb_deit_odd", ODD_20, _GSB, pretrained, **kwargs)


@register_model
def test_gsb_deit_single(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Without a distillation token."""
    return build_student("test_gsb_deit_single", TEST_16, _GSB, pretrained, distilled=False, **kwargs)


@register_model
def test_gsb_deit_float_offset(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Phi in float32."""
    scheme = replace(_GSB, offset_bits=32)
    return build_student("test_gsb_deit_float_offset", TEST_16, scheme, pretrained, **kwargs)


@register_model
def test_gsb_deit_row_offset(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Phi learned for each head and query."""
    scheme = replace(_GSB, offset="row", offset_bits=32)
    return build_student("test_gsb_deit_row_offset", TEST_16, scheme, pretrained, **kwargs)


@register_model
def test_gsb_deit_mean_offset(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Phi = mean(A)."""
    return build_student("test_gsb_deit_mean_offset", TEST_16, replace(_GSB, offset="mean"), pretrained, **kwargs)


@register_model
def test_gsb_deit_no_offset(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Phi = 0."""
    return build_student("test_gsb_deit_no_offset", TEST_16, replace(_GSB, offset="none"), pretrained, **kwargs)


@register_model
def test_gsb_deit_no_components(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """k_a = k_v = 0."""
    scheme = replace(_GSB, components_attention=0, components_value=0)
    return build_student("test_gsb_deit_no_components", TEST_16, scheme, pretrained, **kwargs)


@register_model
def test_gsb_deit_many_components(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """k_a = 4, k_v = 3, odd widths, 8-bit offset for each head and query."""
    scheme = replace(_GSB, components_attention=4, components_value=3, offset="row")
    return build_student("test_gsb_deit_many_components", ODD_20, scheme, pretrained, **kwargs)


@register_model
def test_gsb_deit_mask_base(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A_bin defined like the masks."""
    return build_student("test_gsb_deit_mask_base", TEST_16, replace(_GSB, base_map="mask"), pretrained, **kwargs)


@register_model
def test_gsb_deit_sign(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Sign for type A activations."""
    return build_student("test_gsb_deit_sign", TEST_16, replace(_GSB, type_a="sign"), pretrained, **kwargs)


@register_model
def test_gsb_deit_plain_value(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB attention with a plain sign for V."""
    return build_student("test_gsb_deit_plain_value", TEST_16, replace(_GSB, gsb_value=False), pretrained, **kwargs)


@register_model
def test_gsb_deit_float_ends(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Real-valued patch convolution and heads."""
    return build_student("test_gsb_deit_float_ends", TEST_16, replace(_GSB, first_last_bits=32), pretrained, **kwargs)


@register_model
def test_binary_deit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """The baseline."""
    return build_student("test_binary_deit", TEST_16, _BASELINE, pretrained, **kwargs)


@register_model
def test_binary_deit_odd(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """The baseline with widths that fill no word."""
    return build_student("test_binary_deit_odd", ODD_20, _BASELINE, pretrained, **kwargs)
