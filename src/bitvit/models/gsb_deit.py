"""Binary DeiT with group superposition binarization, the paper's model, in its sizes."""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer

from bitvit.models.deit_build import BASE_224, MICRO_32, MICRO_32_COARSE, SMALL_224, TINY_224, build_student, deit_cfg
from bitvit.models.scheme import SCHEMES

_GSB = SCHEMES["gsb"]

default_cfgs = generate_default_cfgs(
    {
        "gsb_deit_tiny_patch16_224.untrained": deit_cfg(224, 1000),
        "gsb_deit_small_patch16_224.untrained": deit_cfg(224, 1000),
        "gsb_deit_base_patch16_224.untrained": deit_cfg(224, 1000),
        "gsb_deit_micro_patch4_32.untrained": deit_cfg(32, 10),
        "gsb_deit_micro_patch8_32.untrained": deit_cfg(32, 10),
    }
)


@register_model
def gsb_deit_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB DeiT-Tiny: 192 channels, 12 blocks, 3 heads, class and distillation token."""
    return build_student("gsb_deit_tiny_patch16_224", TINY_224, _GSB, pretrained, **kwargs)


@register_model
def gsb_deit_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB DeiT-Small, the model of the paper's tables: 384 channels, 12 blocks, 6 heads, class and distillation
    token."""
    return build_student("gsb_deit_small_patch16_224", SMALL_224, _GSB, pretrained, **kwargs)


@register_model
def gsb_deit_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB DeiT-Base: 768 channels, 12 blocks, 12 heads, class and distillation token."""
    return build_student("gsb_deit_base_patch16_224", BASE_224, _GSB, pretrained, **kwargs)


@register_model
def gsb_deit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB DeiT for 32 x 32 images: 96 channels, 4 blocks, 3 heads, 64 patches."""
    return build_student("gsb_deit_micro_patch4_32", MICRO_32, _GSB, pretrained, **kwargs)


@register_model
def gsb_deit_micro_patch8_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """GSB DeiT for 32 x 32 images that trains in minutes on a CPU: 96 channels, 4 blocks, 3 heads, 16 patches."""
    return build_student("gsb_deit_micro_patch8_32", MICRO_32_COARSE, _GSB, pretrained, **kwargs)
