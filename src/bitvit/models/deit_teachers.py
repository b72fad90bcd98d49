"""Full-precision DeiT for small images: teachers beside timm's own ``deit_{tiny,small,base}_distilled_patch16_224``."""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer

from bitvit.models.deit_build import MICRO_32, MICRO_32_COARSE, ODD_20, TEST_16, build_deit, deit_cfg

default_cfgs = generate_default_cfgs(
    {
        "deit_micro_distilled_patch4_32.untrained": deit_cfg(32, 10),
        "deit_micro_patch4_32.untrained": deit_cfg(32, 10, distilled=False),
        "deit_micro_distilled_patch8_32.untrained": deit_cfg(32, 10),
        "deit_test_distilled_patch4_16.untrained": deit_cfg(16, 10),
        "deit_test_patch4_16.untrained": deit_cfg(16, 10, distilled=False),
        "deit_test_odd_distilled_patch5_20.untrained": deit_cfg(20, 7),
    }
)


@register_model
def deit_micro_distilled_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """DeiT for 32 x 32 images: 96 channels, 4 blocks, 3 heads, 64 patches, class and distillation token."""
    return build_deit("deit_micro_distilled_patch4_32", MICRO_32, pretrained, **kwargs)


@register_model
def deit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """DeiT for 32 x 32 images with a class token only."""
    return build_deit("deit_micro_patch4_32", MICRO_32, pretrained, distilled=False, **kwargs)


@register_model
def deit_micro_distilled_patch8_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """DeiT for 32 x 32 images that trains in minutes on a CPU: 96 channels, 4 blocks, 3 heads, 16 patches."""
    return build_deit("deit_micro_distilled_patch8_32", MICRO_32_COARSE, pretrained, **kwargs)


@register_model
def deit_test_distilled_patch4_16(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Teacher of the ``test_*`` models: 32 channels, 2 blocks, 2 heads, 16 patches."""
    return build_deit("deit_test_distilled_patch4_16", TEST_16, pretrained, **kwargs)


@register_model
def deit_test_patch4_16(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Teacher of the ``test_*`` models without a distillation token."""
    return build_deit("deit_test_patch4_16", TEST_16, pretrained, distilled=False, **kwargs)


@register_model
def deit_test_odd_distilled_patch5_20(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Teacher of the odd-width ``test_*`` models: 36 channels, 3 heads of 12, 126 hidden channels, 16 patches, 7
    classes."""
    return build_deit("deit_test_odd_distilled_patch5_20", ODD_20, pretrained, **kwargs)
