"""Packed twins of the trainable layers: stored bits and folded constants, run by `bitvit::*` operators.

Each packed layer computes what its trainable twin computes with binary activations (stage 2), in evaluation mode.
`pack_layer` finds the twin of a layer by its type; other code may register more with `pack_layer.register`.
"""

from __future__ import annotations

import json
from functools import singledispatch

import torch
from torch import Tensor, nn

from bitvit import layers
from bitvit.export.errors import ExportError
from bitvit.export.mask_planes import mask_planes
from bitvit.export.packing import as_vector, exponential_table, pack_sign_bits

ops = torch.ops.bitvit


@singledispatch
def pack_layer(layer: nn.Module) -> nn.Module | None:
    """The packed twin of `layer`, or None where the layer stays as it is.

    Raises:
        ExportError: the layer's activations are not binary (a stage 1 model).
    """
    return None


class PackedBinaryLinear(nn.Module):
    """Packed `bitvit.layers.BinaryLinear`: float32 `[B,N,K]` -> float32 `[B,N,O]`; or from bits, see `from_bits`.

    The learned input scale and the weight scale become one factor a channel (GSB Eq. 1): `y = (beta alpha) z + bias`.
    """

    def __init__(self, layer: layers.BinaryLinear, rows: slice | None = None, bias_shift: Tensor | None = None) -> None:
        super().__init__()
        if not layer.binarize_input:
            raise ExportError("the model's activations are not binary: train stage 2 before exporting it")
        rows = rows or slice(None)
        signs, scale = layer.binary_weight()
        signs, scale = signs[rows], as_vector(scale, signs.shape[0])[rows]
        bias = torch.zeros(signs.shape[0]) if layer.bias is None else layer.bias.detach()[rows].double()
        if bias_shift is not None:
            bias = bias + bias_shift.double()
        self.in_features = int(signs.shape[1])
        self.learned = layer.statistics == "learned"
        self.kind = "mask" if layer.input_type == "nonnegative" and layer.type_a == "round" else "sign"
        threshold = torch.zeros(self.in_features)
        if self.learned:
            input_scale = layer.input_scale.detach().double()
            scale = scale.double() * input_scale
            shift = layer.input_shift.detach().double()
            threshold = 0.5 * input_scale - shift if self.kind == "mask" else -shift
        self.register_buffer("threshold", threshold.float())
        self.register_buffer("weight", pack_sign_bits(signs))
        self.register_buffer("scale", scale.float())
        self.register_buffer("bias", bias.float())
        self.register_buffer("zero", torch.zeros(len(bias)))

    def bits(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Binarize the input: packed bits, and the runtime statistics of the baseline (None with learned
        parameters)."""
        if self.learned:
            packed = ops.mask(x, self.threshold) if self.kind == "mask" else ops.sign(x, self.threshold, 0)
            return packed, None
        stats = ops.statistics(x)
        packed = ops.mask_statistics(x, stats) if self.kind == "mask" else ops.sign_statistics(x, stats, 0)
        return packed, stats

    def from_bits(self, bits: Tensor, stats: Tensor | None) -> Tensor:
        """The product and its epilogue."""
        if stats is None:
            y: Tensor = ops.binary_linear(bits, self.weight, self.scale, self.bias, self.in_features, self.kind)
            return y
        y = ops.binary_linear(bits, self.weight, self.scale, self.zero, self.in_features, self.kind)
        y = ops.scale_by(y, stats, 1) + self.bias
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.from_bits(*self.bits(x))


class PackedSign(nn.Module):
    """Packed `SignActivation` of queries or keys: float32 `[B,N,C]` -> sign bits `[B,N,H,ceil(D/8)]`."""

    def __init__(self, layer: layers.SignActivation, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.learned = layer.statistics == "learned"
        if self.learned:
            self.register_buffer("threshold", -layer.shift.detach().reshape(-1).float())

    def forward(self, x: Tensor) -> Tensor:
        bits: Tensor
        if self.learned:
            bits = ops.sign(x, self.threshold, self.num_heads)
        else:
            bits = ops.sign_statistics(x, ops.statistics(x), self.num_heads)
        return bits


class PackedAttentionMasks(nn.Module):
    """Packed attention binarizer: query and key bits -> masks `[B,P,H,N,ceil(M/8)]`, and the baseline's runtime
    factor."""

    def __init__(self, layer: nn.Module, table: Tensor, head_dim: int, num_heads: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.phase = 0
        self.patches = 0
        self.planes = "[]"
        row_scale = torch.ones(1, num_heads)
        self.register_buffer("table", table)
        if isinstance(layer, layers.XnorAttentionBinarizer):
            self.phase, self.patches = int(layer.phase), int(layer.patches)
        else:
            planes = mask_planes(layer, num_heads)
            self.planes = json.dumps(planes.rules)
            self.register_buffer("offset", planes.offset)
            self.register_buffer("offset_scale", planes.offset_scale)
            self.register_buffer("thresholds", None if planes.thresholds is None else planes.thresholds.float())
            row_scale = planes.factors.float()
        self.register_buffer("row_scale", row_scale.contiguous())

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.phase:
            masks, gamma = ops.attention_masks_statistics(
                query, key, self.table, self.head_dim, self.phase, self.patches
            )
            return masks, gamma
        masks = ops.attention_masks(
            query, key, self.table, self.offset, self.offset_scale, self.thresholds, self.head_dim, self.planes
        )
        return masks, None


class PackedValue(nn.Module):
    """Packed value binarizer: float32 v `[B,M,C]` (already shifted) -> ternary planes, and the baseline's
    statistics."""

    def __init__(self, layer: nn.Module, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.learned = True
        self.factors: list[float] = []
        scales = torch.ones(1)
        if isinstance(layer, layers.GsbValueBinarizer):
            self.factors = [float(c) for c in layer.factors]
            scales = layer.scales.detach().float()
        elif isinstance(layer, layers.SignActivation):
            self.learned = layer.statistics == "learned"
            scales = layer.scale.detach().float().reshape(1) if self.learned else scales
        else:
            raise ExportError(f"value binarizer {type(layer).__name__} has no packed form")
        self.register_buffer("scales", scales.clone())

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        stats = None if self.learned else ops.statistics(v)
        return ops.value_planes(v, stats, self.factors, self.num_heads), stats


def value_shift(layer: nn.Module) -> Tensor | None:
    """The shift `v0 = v + shift` that a value binarizer learned (Eq. 27: -Omega), as `[C]`; None where it has none."""
    if isinstance(layer, layers.GsbValueBinarizer):
        return -layer.omega.detach().reshape(-1)
    if isinstance(layer, layers.SignActivation) and layer.statistics == "learned":
        return layer.shift.detach().reshape(-1)
    return None


class PackedBinaryAttention(nn.Module):
    """Packed `BinaryAttention` (GSB Eq. 9-35): float32 `[B,N,C]` -> float32 `[B,N,C]`.

    The input is binarized once for the three projections; Omega is folded into the bias of the value projection.
    """

    def __init__(self, layer: layers.BinaryAttention) -> None:
        super().__init__()
        dim = layer.num_heads * layer.head_dim
        projections = [slice(i * dim, (i + 1) * dim) for i in range(3)]
        self.query_linear = PackedBinaryLinear(layer.qkv, projections[0])
        self.key_linear = PackedBinaryLinear(layer.qkv, projections[1])
        self.value_linear = PackedBinaryLinear(layer.qkv, projections[2], value_shift(layer.value))
        self.query = PackedSign(layer.query, layer.num_heads)
        self.key = PackedSign(layer.key, layer.num_heads)
        table = exponential_table(layer.head_dim, layer.score_scale())
        self.attention = PackedAttentionMasks(layer.attention, table, layer.head_dim, layer.num_heads)
        self.value = PackedValue(layer.value, layer.num_heads)
        self.proj = PackedBinaryLinear(layer.proj)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        if attn_mask is not None or is_causal:
            raise ValueError("binary attention takes no attention mask")
        bits, stats = self.query_linear.bits(x)
        query = self.query(self.query_linear.from_bits(bits, stats))
        key = self.key(self.key_linear.from_bits(bits, stats))
        masks, gamma = self.attention(query, key)
        planes, value_stats = self.value(self.value_linear.from_bits(bits, stats))
        y = ops.value_product(masks, planes, self.attention.row_scale, self.value.scales, x.shape[1])
        if gamma is not None:
            y = ops.scale_by(y, gamma, 0)
        if value_stats is not None:
            y = ops.scale_by(y, value_stats, 1)
        packed: Tensor = self.proj(y)
        return packed


class PackedLinear(nn.Module):
    """Packed `QuantizedLinear`: 8-bit input and weights, float32 `[B,K]` or `[B,N,K]` -> float32 `[B,O]` or
    `[B,N,O]`."""

    def __init__(self, layer: layers.QuantizedLinear) -> None:
        super().__init__()
        weight = layer.integer_weight()
        step = layer.input_step.detach().double().reshape(1)
        scale = layer.weight_step.detach().double() * step
        self.register_buffer("shift", as_vector(layer.input_shift, weight.shape[1]))
        self.register_buffer("step", step.float())
        self.register_buffer("weight", weight.to(torch.int8))
        self.register_buffer("scale", as_vector(scale, weight.shape[0]))
        self.register_buffer("bias", as_vector(0.0 if layer.bias is None else layer.bias, weight.shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        rows = x if x.ndim == 3 else x[:, None]
        y: Tensor = ops.linear_i8(rows, self.shift, self.step, self.weight, self.scale, self.bias)
        return y if x.ndim == 3 else y[:, 0]


@pack_layer.register
def _(layer: layers.BinaryLinear) -> nn.Module:
    return PackedBinaryLinear(layer)


@pack_layer.register
def _(layer: layers.BinaryAttention) -> nn.Module:
    return PackedBinaryAttention(layer)


@pack_layer.register
def _(layer: layers.QuantizedLinear) -> nn.Module:
    return PackedLinear(layer)
