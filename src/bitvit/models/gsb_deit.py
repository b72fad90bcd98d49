"""Binary DeiT: group superposition binarization (the paper's model) and its baseline with XNOR-Net statistics."""

from __future__ import annotations

from typing import Any

from timm.models import load_pretrained
from timm.models.deit import VisionTransformerDistilled
from torch import nn

from bitvit.models.binarize import binarize
from bitvit.models.deit import (
    BASE_224,
    MICRO_32,
    MICRO_32_COARSE,
    ODD_20,
    SINGLE,
    SMALL_224,
    TEST_16,
    TINY_224,
    build_deit,
    deit_cfg,
)
from bitvit.models.entrypoints import Variant, register_family
from bitvit.models.scheme import SchemeLike, resolve_scheme


def build_gsb_deit(
    name: str,
    pretrained: bool = False,
    *,
    base_scheme: str = "gsb",
    scheme_changes: dict[str, Any] | None = None,
    scheme: SchemeLike | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a binary DeiT from scratch, with timm's initial weights.

    Binarizing draws no random numbers, so the first weights of a seed are those of the full-precision DeiT, whatever
    the scheme. In training mode a distilled student returns ``(class logits, distillation logits)``, in evaluation
    their mean.

    Args:
        name: the registered name.
        pretrained: load weights from the hub (``hf-hub:user/name``).
        base_scheme: the scheme that it starts from.
        scheme_changes: fields of the scheme that differ.
        scheme: another scheme, or a mapping of fields to change in that of this name.
        **kwargs: ``distilled``, and arguments of timm's ``VisionTransformer``.
    """
    default = resolve_scheme(base_scheme)
    default = resolve_scheme(scheme_changes or {}, default)
    resolved = default if scheme is None else resolve_scheme(scheme, default)
    teacher: nn.Module = build_deit(name, **kwargs)
    if kwargs.get("features_only", False):  # timm wrapped the network
        teacher.model = binarize(teacher.get_submodule("model"), resolved)
        return teacher
    student = binarize(teacher, resolved)
    if pretrained:  # weights of a binary network: only now is there something that has all of its parameters
        load_pretrained(student, num_classes=kwargs.get("num_classes", 1000), in_chans=kwargs.get("in_chans", 3))
    if isinstance(student, VisionTransformerDistilled):
        student.set_distilled_training(True)
    return student


def _variant(
    summary: str, image_size: int, num_classes: int, shape: dict[str, Any], base: str = "gsb", **changes: Any
) -> Variant:
    return Variant(summary, image_size, num_classes, {**shape, "base_scheme": base, "scheme_changes": changes})


_SIZES = {
    "tiny_patch16_224": ("Tiny: 192 channels, 12 blocks, 3 heads", 224, 1000, TINY_224),
    "small_patch16_224": ("Small, as in the paper's tables: 384 channels, 12 blocks, 6 heads", 224, 1000, SMALL_224),
    "base_patch16_224": ("Base: 768 channels, 12 blocks, 12 heads", 224, 1000, BASE_224),
    "micro_patch4_32": ("for 32 x 32 images: 96 channels, 4 blocks, 3 heads, 64 patches", 32, 10, MICRO_32),
    "micro_patch8_32": ("for 32 x 32 images, trains in minutes on a CPU: 16 patches", 32, 10, MICRO_32_COARSE),
}

VARIANTS = {
    f"{family}_deit_{size}": _variant(f"{title} DeiT {what}.", image_size, num_classes, shape, scheme)
    for family, title, scheme in (("gsb", "GSB", "gsb"), ("binary", "Baseline", "baseline"))
    for size, (what, image_size, num_classes, shape) in _SIZES.items()
}

# Tiny networks for tests, one for each choice of a scheme; each runs in milliseconds.
TEST_VARIANTS = {
    "test_gsb_deit": _variant("GSB with its defaults: 32 channels, 2 blocks, 2 heads, 18 tokens.", 16, 10, TEST_16),
    "test_gsb_deit_odd": _variant(
        "Widths that are no multiple of 64: 36 channels, heads of 12, 126 hidden.", 20, 7, ODD_20
    ),
    "test_gsb_deit_single": _variant("Without a distillation token.", 16, 10, {**TEST_16, **SINGLE}),
    "test_gsb_deit_float_offset": _variant("Phi in float32.", 16, 10, TEST_16, offset_bits=32),
    "test_gsb_deit_row_offset": _variant(
        "Phi learned for each head and query.", 16, 10, TEST_16, offset="row", offset_bits=32
    ),
    "test_gsb_deit_mean_offset": _variant("Phi = mean(A).", 16, 10, TEST_16, offset="mean"),
    "test_gsb_deit_no_offset": _variant("Phi = 0.", 16, 10, TEST_16, offset="none"),
    "test_gsb_deit_no_components": _variant(
        "k_a = k_v = 0.", 16, 10, TEST_16, components_attention=0, components_value=0
    ),
    "test_gsb_deit_many_components": _variant(
        "k_a = 4, k_v = 3, odd widths, 8-bit offset for each head and query.",
        *(20, 7, ODD_20),
        components_attention=4,
        components_value=3,
        offset="row",
    ),
    "test_gsb_deit_mask_base": _variant("A_bin defined like the masks.", 16, 10, TEST_16, base_map="mask"),
    "test_gsb_deit_sign": _variant("Sign for type A activations.", 16, 10, TEST_16, type_a="sign"),
    "test_gsb_deit_plain_value": _variant("GSB attention with a plain sign for V.", 16, 10, TEST_16, gsb_value=False),
    "test_gsb_deit_quantile_value": _variant(
        "Components of V at quantiles.", 16, 10, TEST_16, value_thresholds="quantile"
    ),
    "test_gsb_deit_learned_value": _variant(
        "Components of V at learned thresholds, odd widths.",
        *(20, 7, ODD_20),
        components_value=3,
        value_thresholds="learned",
    ),
    "test_gsb_deit_xnor_value": _variant(
        "GSB attention with the baseline's V.", 16, 10, TEST_16, gsb_value=False, value_statistics="xnor"
    ),
    "test_gsb_deit_release": _variant(
        "First scales, gradients and stage 1 of the authors' release.",
        *(16, 10, TEST_16),
        initial_scales="release",
        gradients="release",
        first_stage="mlp",
    ),
    "test_gsb_deit_float_ends": _variant(
        "Real-valued patch convolution and heads.", 16, 10, TEST_16, first_last_bits=32
    ),
    "test_binary_deit": _variant("The baseline.", 16, 10, TEST_16, "baseline"),
    "test_binary_deit_odd": _variant("The baseline with widths that are no multiple of 64.", 20, 7, ODD_20, "baseline"),
}

register_family(__name__, build_gsb_deit, {**VARIANTS, **TEST_VARIANTS}, deit_cfg)
