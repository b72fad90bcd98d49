"""Turn a full-precision vision transformer of timm into its binary student, weights included."""

from __future__ import annotations

import copy
from typing import Any

from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from timm.layers.patch_embed import PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from bitvit.errors import BitvitError
from bitvit.layers.binary_attention import BinaryAttention
from bitvit.layers.binary_mlp import BinaryMlp
from bitvit.layers.facts import has_binary_layers
from bitvit.layers.gsb_linear import InputType, gsb_input, head_sign, step_conv
from bitvit.layers.quant_linear import QuantLinear
from bitvit.models.scheme import BinarizationScheme, SchemeLike, resolve_scheme
from bitvit.models.timm_interface import BinaryDistilledTransformer, BinaryTransformer, quantize_heads
from bitvit.quantizers.estimator import (
    ActivationEstimator,
    AttentionEstimator,
    RealActivation,
    RealAttention,
    RealWeight,
    ValueEstimator,
    WeightEstimator,
)
from bitvit.quantizers.gsb_attention import GsbAttention
from bitvit.quantizers.gsb_value import GsbValue
from bitvit.quantizers.weight_sign import TensorSignWeight
from bitvit.quantizers.xnor_attention import XnorAttention

# A class of one's own keeps its type.
_FORMS: dict[type, type] = {
    VisionTransformer: BinaryTransformer,
    VisionTransformerDistilled: BinaryDistilledTransformer,
}


class UnsupportedModelError(BitvitError):
    """A model cannot be binarized: it is not a plain vision transformer."""


def binarize(model: nn.Module, scheme: SchemeLike = "gsb") -> nn.Module:
    """Make a binary student of a vision transformer.

    Attention, Mlp, patch convolution and heads are replaced in a deep copy, which keeps the model's weights and the
    names of its parameters; parameters of the quantizers are added. No random number is drawn. The student is in stage
    2 (see
    `bitvit.models.set_stage`); its learned scales need `bitvit.layers.calibrate`. Its scheme is
    ``student.binarization_scheme``.

    Args:
        model: timm's ``VisionTransformer`` or ``VisionTransformerDistilled``, with plain blocks.
        scheme: name (``"gsb"``, ``"baseline"``), `BinarizationScheme`, or a mapping of fields that differ from GSB's.

    Returns:
        The student, of ``model``'s class or, for timm's own classes, its binary form (`BinaryTransformer`,
        `BinaryDistilledTransformer`); its inputs and outputs are those of ``model``.

    Raises:
        UnsupportedModelError: the model has parts without a binary form; the message names the part.
        UsageError: the scheme makes no sense.
    """
    resolved = resolve_scheme(scheme)
    _check(model)
    return _binarize_in_place(copy.deepcopy(model), resolved)


def _check(model: nn.Module) -> None:
    name = type(model).__name__
    if not isinstance(model, VisionTransformer):
        raise UnsupportedModelError(f"{name} is not a timm VisionTransformer, the only kind that can be binarized")
    if has_binary_layers(model):
        raise UnsupportedModelError(f"this {name} is already binary")
    if not isinstance(model.patch_embed, PatchEmbed) or not isinstance(model.patch_embed.proj, nn.Conv2d):
        raise UnsupportedModelError(f"patch embedding {type(model.patch_embed).__name__} has no binary form")
    if model.dynamic_img_size:
        raise UnsupportedModelError("a binary model has a fixed image size: create the model without dynamic_img_size")
    if isinstance(getattr(model, "attn_pool", None), nn.Module):
        raise UnsupportedModelError("attention pooling has no binary form")
    for index, block in enumerate(model.blocks):
        part = _unsupported_part(block)
        if part:
            raise UnsupportedModelError(f"blocks.{index}: {part} has no binary form")


def _unsupported_part(block: nn.Module) -> str | None:
    """Name the first part of a block that cannot be replaced, or None."""
    if type(block) is not Block:
        return type(block).__name__
    if type(block.attn) is not Attention:
        return f"attention {type(block.attn).__name__}"
    if type(block.mlp) is not Mlp:
        return f"feed-forward part {type(block.mlp).__name__}"
    identities = {"query norm": block.attn.q_norm, "key norm": block.attn.k_norm, "attention norm": block.attn.norm}
    for name, layer in {**identities, "feed-forward norm": block.mlp.norm}.items():
        if not isinstance(layer, nn.Identity):
            return name
    if block.attn.gate is not None:
        return "gated attention"
    if block.attn.attn_dim != block.attn.proj.out_features or not isinstance(block.mlp.fc1, nn.Linear):
        return "attention or feed-forward part of unusual shape"
    return None


def _binarize_in_place(model: nn.Module, scheme: BinarizationScheme) -> nn.Module:
    assert isinstance(model, VisionTransformer)
    num_patches = model.patch_embed.num_patches
    num_tokens = num_patches + model.num_prefix_tokens
    for block in model.blocks:
        block.attn = _binary_attention(block.attn, scheme, num_tokens, num_patches)
        block.mlp = _binary_mlp(block.mlp, scheme)
    if scheme.first_last_bits == 8:
        quantize_ends(model)
    if not scheme.is_whole:
        setattr(model, "comparison_only", True)  # noqa: B010 (timm's class does not declare it)
    like = model.pos_embed if model.pos_embed is not None else next(model.parameters())
    model.to(device=like.device, dtype=like.dtype)
    model.train(model.training)
    setattr(model, "binarization_scheme", scheme)  # noqa: B010 (timm's class does not declare it)
    model.__class__ = _FORMS.get(type(model), type(model))
    return model


def quantize_ends(model: VisionTransformer) -> None:
    """Give the patch convolution and the heads 8-bit weights, in place."""
    projection = model.patch_embed.proj
    assert isinstance(projection, nn.Conv2d)
    model.patch_embed.proj = step_conv(projection)
    quantize_heads(model)


def _binary_attention(attn: Any, scheme: BinarizationScheme, num_tokens: int, num_patches: int) -> BinaryAttention:
    heads, head_dim = attn.num_heads, attn.head_dim
    projections = iter((attn.qkv, attn.proj))
    return BinaryAttention(
        heads * head_dim,
        heads,
        _attention_estimator(heads, scheme, num_tokens, num_patches),
        _value_estimator(heads, head_dim, scheme),
        query=_query_or_key(heads, head_dim, scheme),
        key=_query_or_key(heads, head_dim, scheme),
        linear=lambda *shape: _binary_linear(next(projections), scheme, "signed", waits=scheme.first_stage == "mlp"),
        attn_drop=attn.attn_drop.p,
        proj_drop=attn.proj_drop.p,
    )


def _attention_estimator(
    heads: int, scheme: BinarizationScheme, num_tokens: int, num_patches: int
) -> AttentionEstimator:
    if "attention" not in scheme.binary_parts:
        return RealAttention()
    if not scheme.gsb_attention:
        return XnorAttention(num_patches)
    return GsbAttention(
        heads,
        num_tokens,
        components=scheme.components_attention,
        offset=scheme.offset,
        offset_bits=scheme.offset_bits,
        base="sign" if scheme.type_a == "sign" else scheme.base_map,
        start=scheme.attention_start,
        initial=scheme.initial_scales,
        gradients=scheme.gradients,
    )


def _value_estimator(heads: int, head_dim: int, scheme: BinarizationScheme) -> ValueEstimator | ActivationEstimator:
    if "value" not in scheme.binary_parts:
        return RealActivation()
    initial, gradients = scheme.initial_scales, scheme.gradients
    if scheme.gsb_value:
        components, thresholds = scheme.components_value, scheme.value_thresholds
        return GsbValue(heads, head_dim, components, thresholds, initial=initial, gradients=gradients)
    statistics = scheme.value_statistics or scheme.linear_statistics
    return head_sign(heads, head_dim, statistics, initial=initial, gradients=gradients)


def _query_or_key(heads: int, head_dim: int, scheme: BinarizationScheme) -> ActivationEstimator:
    if "query_key" not in scheme.binary_parts:
        return RealActivation()
    initial, gradients = scheme.initial_scales, scheme.gradients
    return head_sign(heads, head_dim, scheme.linear_statistics, scaled=False, initial=initial, gradients=gradients)


def _binary_mlp(mlp: Any, scheme: BinarizationScheme) -> BinaryMlp:
    fc1, fc2 = _binary_linear(mlp.fc1, scheme, "signed"), _binary_linear(mlp.fc2, scheme, "nonnegative")
    return BinaryMlp(fc1, fc2, mlp.act, (mlp.drop1.p, mlp.drop2.p))


def _binary_linear(
    linear: nn.Linear, scheme: BinarizationScheme, input_type: InputType, *, waits: bool = False
) -> QuantLinear:
    inputs: ActivationEstimator = RealActivation()
    if "inputs" in scheme.binary_parts:
        inputs = gsb_input(
            linear.in_features,
            input_type,
            scheme.linear_statistics,
            scheme.type_a,
            scheme.initial_scales,
            scheme.gradients,
        )
    weight: WeightEstimator = TensorSignWeight() if "weights" in scheme.binary_parts else RealWeight()
    weight.waits = waits
    return QuantLinear.from_float(linear, weight=weight, input=inputs)
