"""Building blocks of the DeiT entry points: shapes, configurations, one builder for teachers and students."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from bitvit.models.binarize import binarize
from bitvit.models.scheme import BinarizationScheme, SchemeLike, resolve_scheme

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class DeitShape:
    """Dimensions of a DeiT: patch and image size in pixels, channels, blocks, heads, hidden channels as a multiple."""

    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0


TINY_224 = DeitShape(patch_size=16, embed_dim=192, depth=12, num_heads=3)
SMALL_224 = DeitShape(patch_size=16, embed_dim=384, depth=12, num_heads=6)
BASE_224 = DeitShape(patch_size=16, embed_dim=768, depth=12, num_heads=12)
MICRO_32 = DeitShape(patch_size=4, embed_dim=96, depth=4, num_heads=3)
MICRO_32_COARSE = DeitShape(patch_size=8, embed_dim=96, depth=4, num_heads=3)
TEST_16 = DeitShape(patch_size=4, embed_dim=32, depth=2, num_heads=2)
ODD_20 = DeitShape(patch_size=5, embed_dim=36, depth=2, num_heads=3, mlp_ratio=3.5)


def deit_cfg(image_size: int, num_classes: int, distilled: bool = True, **fields: Any) -> dict[str, Any]:
    """timm's configuration of a DeiT without published weights: input, normalization, names of first and last
    layers."""
    small = image_size < 224
    return {
        "url": "",
        "num_classes": num_classes,
        "input_size": (3, image_size, image_size),
        "pool_size": None,
        "crop_pct": 1.0 if small else 0.9,
        "interpolation": "bicubic",
        "fixed_input_size": True,
        "mean": HALF if small else IMAGENET_DEFAULT_MEAN,
        "std": HALF if small else IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.proj",
        "classifier": ("head", "head_dist") if distilled else "head",
        "license": "apache-2.0",
        **fields,
    }


def build_deit(
    variant: str, shape: DeitShape, pretrained: bool, distilled: bool = True, **kwargs: Any
) -> VisionTransformer:
    """Build a full-precision DeiT under a registered name.

    Args:
        variant: the registered name, whose configuration gives image size and number of classes.
        shape: dimensions; ``kwargs`` may override them.
        pretrained: load published weights (there are none yet, so timm reports an error).
        distilled: with a distillation token and head beside those of the class.
        kwargs: arguments of timm's ``VisionTransformer``.
    """
    arguments: dict[str, Any] = {
        "patch_size": shape.patch_size,
        "embed_dim": shape.embed_dim,
        "depth": shape.depth,
        "num_heads": shape.num_heads,
        "mlp_ratio": shape.mlp_ratio,
        **kwargs,
    }
    model: VisionTransformer = build_model_with_cfg(
        VisionTransformerDistilled if distilled else VisionTransformer,
        variant,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **arguments,
    )
    _record_image_size(model)
    return model


def _record_image_size(model: VisionTransformer) -> None:
    """Keep the configuration true where ``img_size`` or ``in_chans`` was overridden."""
    height, width = model.patch_embed.img_size
    config: dict[str, Any] = vars(model)["pretrained_cfg"]
    config["input_size"] = (model.patch_embed.proj.in_channels, height, width)


def build_student(
    variant: str,
    shape: DeitShape,
    default: BinarizationScheme,
    pretrained: bool,
    distilled: bool = True,
    scheme: SchemeLike | None = None,
    **kwargs: Any,
) -> VisionTransformer:
    """Build a binary DeiT from scratch, with timm's initial weights.

    In training mode a distilled student returns ``(class logits, distillation logits)``, in evaluation their mean.

    Args:
        variant: the registered name.
        shape: dimensions.
        default: the scheme of this name.
        pretrained: load published weights (there are none yet).
        distilled: with a distillation token and head.
        scheme: another scheme, or a mapping of fields to change in the default.
        kwargs: arguments of timm's ``VisionTransformer``.
    """
    resolved = default if scheme is None else resolve_scheme(scheme, default)
    teacher = build_deit(variant, shape, pretrained, distilled, **kwargs)
    student = binarize(teacher, resolved)
    assert isinstance(student, VisionTransformer)
    if isinstance(student, VisionTransformerDistilled):
        student.set_distilled_training(True)
    return student
