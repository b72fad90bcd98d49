"""Binary DeiT with XNOR-Net statistics: the paper's baseline (section III), in its sizes."""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer

from bitvit.models.deit_build import BASE_224, MICRO_32, MICRO_32_COARSE, SMALL_224, TINY_224, build_student, deit_cfg
from bitvit.models.scheme import SCHEMES

_BASELINE = SCHEMES["baseline"]

default_cfgs = generate_default_cfgs(
    {
        "binary_deit_tiny_patch16_224.untrained": deit_cfg(224, 1000),
        "binary_deit_small_patch16_224.untrained": deit_cfg(224, 1000),
        "binary_deit_base_patch16_224.untrained": deit_cfg(224, 1000),
        "binary_deit_micro_patch4_32.untrained": deit_cfg(32, 10),
        "binary_deit_micro_patch8_32.untrained": deit_cfg(32, 10),
    }
)


@register_model
def binary_deit_tiny_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Baseline DeiT-Tiny."""
    return build_student("binary_deit_tiny_patch16_224", TINY_224, _BASELINE, pretrained, **kwargs)


@register_model
def binary_deit_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Baseline DeiT-Small, "Ours-baseline" of the paper's tables."""
    return build_student("binary_deit_small_patch16_224", SMALL_224, _BASELINE, pretrained, **kwargs)


@register_model
def binary_deit_base_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Baseline DeiT-Base."""
    return build_student("binary_deit_base_patch16_224", BASE_224, _BASELINE, pretrained, **kwargs)


@register_model
def binary_deit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Baseline DeiT for 32 x 32 images."""
    return build_student("binary_deit_micro_patch4_32", MICRO_32, _BASELINE, pretrained, **kwargs)


@register_model
def binary_deit_micro_patch8_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Baseline DeiT for 32 x 32 images in 16 patches."""
    return build_student("binary_deit_micro_patch8_32", MICRO_32_COARSE, _BASELINE, pretrained, **kwargs)
