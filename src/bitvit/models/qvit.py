"""Q-ViT, a vision transformer of few bits, and its 1-bit form Q-ViT*: comparison models of the paper's tables."""

from __future__ import annotations

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from bitvit.errors import UsageError
from bitvit.layers import QuantizedConv2d, QuantizedLinear
from bitvit.layers.low_bit_layers import LowBitAttention, LowBitLinear
from bitvit.models.deit_build import (
    MICRO_32,
    MICRO_32_COARSE,
    SMALL_224,
    TEST_16,
    DeitShape,
    build_deit,
    deit_cfg,
)

MAX_BITS = 8


def build_qvit(variant: str, shape: DeitShape, pretrained: bool, default_bits: int, **kwargs: Any) -> VisionTransformer:
    """Build a Q-ViT of DeiT's shape with a distillation token; patch convolution and heads have 8 bits.

    Args:
        variant: the registered name. shape: dimensions. pretrained: load published weights (there are none).
        default_bits: of weights and activations, where ``bits`` is not among the others; 1 takes signs (Q-ViT*).
        kwargs: ``bits``, and arguments of timm's ``VisionTransformer``.

    Raises:
        UsageError: no such number of bits.

    Source: Li et al., "Q-ViT", NeurIPS 2022; 8-bit first and last layers as there. Q-ViT*: GSB, Table I.
    """
    bits = kwargs.pop("bits", default_bits)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise UsageError(f"bits is {bits!r}; choose 1 to {MAX_BITS}")
    model = build_deit(variant, shape, pretrained, **kwargs)
    for block in model.blocks:
        attn: Any = block.attn
        block.attn = LowBitAttention(attn.qkv, attn.proj, attn.num_heads, bits)
        mlp: Any = block.mlp
        mlp.fc1, mlp.fc2 = LowBitLinear.from_float(mlp.fc1, bits), LowBitLinear.from_float(mlp.fc2, bits)
    projection = model.patch_embed.proj
    assert isinstance(projection, nn.Conv2d)
    model.patch_embed.proj = QuantizedConv2d.from_float(projection)
    for name in ("head", "head_dist"):
        head = getattr(model, name, None)
        if isinstance(head, nn.Linear):
            setattr(model, name, QuantizedLinear.from_float(head))
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)
    return model


default_cfgs = generate_default_cfgs(
    {
        "qvit2_deit_small_patch16_224.untrained": deit_cfg(224, 1000),
        "qvit1_deit_small_patch16_224.untrained": deit_cfg(224, 1000),
        "qvit2_deit_micro_patch4_32.untrained": deit_cfg(32, 10),
        "qvit1_deit_micro_patch4_32.untrained": deit_cfg(32, 10),
        "qvit2_deit_micro_patch8_32.untrained": deit_cfg(32, 10),
        "qvit1_deit_micro_patch8_32.untrained": deit_cfg(32, 10),
        "test_qvit2_deit.untrained": deit_cfg(16, 10),
        "test_qvit1_deit.untrained": deit_cfg(16, 10),
    }
)


@register_model
def qvit2_deit_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Q-ViT of 2 bits, DeiT-Small."""
    return build_qvit("qvit2_deit_small_patch16_224", SMALL_224, pretrained, 2, **kwargs)


@register_model
def qvit1_deit_small_patch16_224(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Q-ViT*, DeiT-Small: 1 bit."""
    return build_qvit("qvit1_deit_small_patch16_224", SMALL_224, pretrained, 1, **kwargs)


@register_model
def qvit2_deit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Q-ViT of 2 bits for 32 x 32 images."""
    return build_qvit("qvit2_deit_micro_patch4_32", MICRO_32, pretrained, 2, **kwargs)


@register_model
def qvit1_deit_micro_patch4_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Q-ViT* for 32 x 32 images."""
    return build_qvit("qvit1_deit_micro_patch4_32", MICRO_32, pretrained, 1, **kwargs)


@register_model
def qvit2_deit_micro_patch8_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Q-ViT of 2 bits for 32 x 32 images in 16 patches."""
    return build_qvit("qvit2_deit_micro_patch8_32", MICRO_32_COARSE, pretrained, 2, **kwargs)


@register_model
def qvit1_deit_micro_patch8_32(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Q-ViT* for 32 x 32 images in 16 patches."""
    return build_qvit("qvit1_deit_micro_patch8_32", MICRO_32_COARSE, pretrained, 1, **kwargs)


@register_model
def test_qvit2_deit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:  # noqa: PT028 (a model)
    """Tiny, for tests."""
    return build_qvit("test_qvit2_deit", TEST_16, pretrained, 2, **kwargs)


@register_model
def test_qvit1_deit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:  # noqa: PT028 (a model)
    """Tiny, for tests."""
    return build_qvit("test_qvit1_deit", TEST_16, pretrained, 1, **kwargs)
