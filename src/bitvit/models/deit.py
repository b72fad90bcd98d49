"""Full-precision DeiT for small images: teachers beside timm's own ``deit_{tiny,small,base}_distilled_patch16_224``."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from bitvit.models.entrypoints import Variant, model_cfg, record_input_size, register_family

TINY_224 = {"patch_size": 16, "embed_dim": 192, "depth": 12, "num_heads": 3}
SMALL_224 = {"patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 6}
BASE_224 = {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12}
MICRO_32 = {"patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3}
MICRO_32_COARSE = {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 3}
TEST_16 = {"patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
ODD_20 = {"patch_size": 5, "embed_dim": 36, "depth": 2, "num_heads": 3, "mlp_ratio": 3.5}
"""Shapes: patch size in pixels, channels, blocks, heads, hidden channels as a multiple."""

SINGLE = {"distilled": False}


def deit_cfg(variant: Variant) -> dict[str, Any]:
    """Return timm's configuration of a DeiT."""
    heads = ("head", "head_dist") if variant.arguments.get("distilled", True) else "head"
    small = variant.image_size < 224
    cfg = model_cfg(variant.image_size, variant.num_classes, "patch_embed.proj", heads)
    return cfg | {"crop_pct": 1.0 if small else 0.9}


def build_deit(name: str, pretrained: bool = False, *, distilled: bool = True, **kwargs: Any) -> VisionTransformer:
    """Build a full-precision DeiT under a registered name, which gives image size and number of classes.

    Args:
        name: the registered name.
        pretrained: load published weights (there are none yet).
        distilled: with a distillation token and head beside those of the class.
        **kwargs: arguments of timm's ``VisionTransformer``.
    """
    model: VisionTransformer = build_model_with_cfg(
        VisionTransformerDistilled if distilled else VisionTransformer,
        name,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": min(3, kwargs.get("depth", 12)), "feature_cls": "getter"},
        **kwargs,
    )
    if not kwargs.get("features_only", False):
        record_input_size(model, model.patch_embed.img_size, model.patch_embed.proj.in_channels)
    return model


VARIANTS = {
    "deit_micro_distilled_patch4_32": Variant(
        "DeiT for 32 x 32 images: 96 channels, 4 blocks, 3 heads, 64 patches, class and distillation token.",
        *(32, 10, MICRO_32),
    ),
    "deit_micro_patch4_32": Variant("DeiT for 32 x 32 images with a class token only.", 32, 10, {**MICRO_32, **SINGLE}),
    "deit_micro_distilled_patch8_32": Variant(
        "DeiT for 32 x 32 images that trains in minutes on a CPU: 96 channels, 4 blocks, 3 heads, 16 patches.",
        *(32, 10, MICRO_32_COARSE),
    ),
    "deit_test_distilled_patch4_16": Variant(
        "Teacher of the ``test_*`` models: 32 channels, 2 blocks, 2 heads, 16 patches.", 16, 10, TEST_16
    ),
    "deit_test_patch4_16": Variant(
        "Teacher of the ``test_*`` models without a distillation token.", 16, 10, {**TEST_16, **SINGLE}
    ),
    "deit_test_odd_distilled_patch5_20": Variant(
        "Teacher of the odd-width ``test_*`` models: 36 channels, 3 heads of 12, 126 hidden channels.", 20, 7, ODD_20
    ),
}

register_family(__name__, build_deit, VARIANTS, deit_cfg)
