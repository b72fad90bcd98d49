"""Q-ViT, a vision transformer of few bits, and its 1-bit form Q-ViT*: comparison models of the paper's tables."""

from __future__ import annotations

from typing import Any

from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from bitvit.errors import UsageError
from bitvit.layers.low_bit_attention import LowBitAttention, low_bit_linear
from bitvit.models.binarize import quantize_ends
from bitvit.models.deit import MICRO_32, MICRO_32_COARSE, SMALL_224, TEST_16, build_deit, deit_cfg
from bitvit.models.entrypoints import Variant, register_family

MAX_BITS = 8


def build_qvit(name: str, pretrained: bool = False, *, bits: int = 2, **kwargs: Any) -> nn.Module:
    """Build a Q-ViT of DeiT's shape with a distillation token; patch convolution and heads have 8 bits.

    Args:
        name: the registered name.
        pretrained: load published weights (there are none).
        bits: of weights and activations; 1 takes signs (Q-ViT*).
        **kwargs: arguments of timm's ``VisionTransformer``.

    Raises:
        UsageError: no such number of bits.

    Source: Li et al., "Q-ViT", NeurIPS 2022; 8-bit first and last layers as there. Q-ViT*: GSB, Table I.
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise UsageError(f"bits is {bits!r}; choose 1 to {MAX_BITS}")
    model: nn.Module = build_deit(name, pretrained, **kwargs)
    network = model.get_submodule("model") if kwargs.get("features_only", False) else model  # timm wrapped it
    assert isinstance(network, VisionTransformer)
    for block in network.blocks:
        attn: Any = block.attn
        block.attn = LowBitAttention(attn.qkv, attn.proj, attn.num_heads, bits)
        mlp: Any = block.mlp
        mlp.fc1, mlp.fc2 = low_bit_linear(mlp.fc1, bits), low_bit_linear(mlp.fc2, bits)
    quantize_ends(network)
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)
    return model


_SIZES = {
    "qvit{}_deit_small_patch16_224": ("DeiT-Small", 224, 1000, SMALL_224),
    "qvit{}_deit_micro_patch4_32": ("for 32 x 32 images", 32, 10, MICRO_32),
    "qvit{}_deit_micro_patch8_32": ("for 32 x 32 images in 16 patches", 32, 10, MICRO_32_COARSE),
    "test_qvit{}_deit": ("tiny, for tests", 16, 10, TEST_16),
}

VARIANTS = {
    pattern.format(bits): Variant(f"{title}, {what}.", image_size, num_classes, {**shape, "bits": bits})
    for bits, title in ((2, "Q-ViT of 2 bits"), (1, "Q-ViT*, 1 bit"))
    for pattern, (what, image_size, num_classes, shape) in _SIZES.items()
}

register_family(__name__, build_qvit, VARIANTS, deit_cfg)
