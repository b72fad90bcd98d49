"""The arithmetic of packed layers as PyTorch operators.

There is one `bitvit::*` operator for each Program operator that works on bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from torch import Tensor

from bitvit.export.operator_library import OperatorCall, operator, rows_value
from bitvit.program import Value
from bitvit.program.schema import ValueType


def _bits_shape(x: Tensor, heads: int) -> tuple[int, ...]:
    n_rows, channels = int(x.shape[1]), int(x.shape[2])
    return (n_rows, heads, channels // heads) if heads else (n_rows, channels)


@operator("(Tensor image, Tensor mul, Tensor add) -> Tensor")
def image_to_float(image: Tensor, mul: Tensor, add: Tensor) -> OperatorCall:
    """Emit `image_to_float`: ``image mul + add``, per channel."""
    shape = tuple(int(n) for n in image.shape[1:])
    return OperatorCall(
        "image_to_float", [(image, Value("u8", shape))], [Value("f32", shape)], {}, {"mul": mul, "add": add}
    )


def _patches(image: Tensor, patch: int, outputs: int) -> Value:
    return Value("f32", (int(image.shape[1]) // patch * (int(image.shape[2]) // patch), outputs))


@operator("(Tensor image, Tensor weight, Tensor scale, Tensor bias, int patch) -> Tensor")
def patch_conv_u8(image: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, patch: int) -> OperatorCall:
    """Emit `patch_conv_u8`: 8-bit weights times image bytes, patch by patch, to rows."""
    return OperatorCall(
        "patch_conv_u8",
        [(image, Value("u8", tuple(int(n) for n in image.shape[1:])))],
        [_patches(image, patch, int(weight.shape[0]))],
        {"patch": patch},
        {"weight": weight, "scale": scale, "bias": bias},
    )


@operator("(Tensor x, Tensor weight, Tensor bias, int patch) -> Tensor")
def patch_conv_f32(x: Tensor, weight: Tensor, bias: Tensor, patch: int) -> OperatorCall:
    """Emit `patch_conv_f32`: float32 weights times a float32 image, patch by patch, to rows."""
    value = rows_value(x)
    outputs = [_patches(x, patch, int(weight.shape[0]))]
    return OperatorCall("patch_conv_f32", [(x, value)], outputs, {"patch": patch}, {"weight": weight, "bias": bias})


@operator("(Tensor x, Tensor shift, Tensor step, Tensor weight, Tensor scale, Tensor bias) -> Tensor")
def linear_i8(x: Tensor, shift: Tensor, step: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> OperatorCall:
    """Emit `linear_i8`: 8-bit codes of x, `[B,N,K]`, times 8-bit weights, `[O,K]` -> `[B,N,O]`."""
    return OperatorCall(
        "linear_i8",
        [(x, rows_value(x))],
        [Value("f32", (int(x.shape[1]), int(weight.shape[0])))],
        {},
        {"shift": shift, "step": step, "weight": weight, "scale": scale, "bias": bias},
    )


@operator("(Tensor x, Tensor threshold, int heads) -> Tensor")
def sign(x: Tensor, threshold: Tensor, heads: int) -> OperatorCall:
    """Emit `sign`: x `[B,N,C]` -> sign bits `[B,N,ceil(C/8)]`, or `[B,N,H,ceil(D/8)]` where heads > 0."""
    return OperatorCall(
        "sign", [(x, rows_value(x))], [Value("sign", _bits_shape(x, heads))], {}, {"threshold": threshold}
    )


@operator("(Tensor x, Tensor threshold) -> Tensor")
def mask(x: Tensor, threshold: Tensor) -> OperatorCall:
    """Emit `mask`: bits of ``x > threshold``, per channel."""
    return OperatorCall("mask", [(x, rows_value(x))], [Value("mask", _bits_shape(x, 0))], {}, {"threshold": threshold})


@operator("(Tensor bits, Tensor weight, Tensor scale, Tensor bias, int inputs, str kind) -> Tensor")
def binary_linear(
    bits: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, inputs: int, kind: ValueType
) -> OperatorCall:
    """Emit `binary_linear`: bits `[B,N,ceil(K/8)]` of kind 'sign' or 'mask', K = inputs."""
    n_rows = int(bits.shape[1])
    return OperatorCall(
        "binary_linear",
        [(bits, Value(kind, (n_rows, inputs)))],
        [Value("f32", (n_rows, int(weight.shape[0])))],
        {},
        {"weight": weight, "scale": scale, "bias": bias},
    )


def _heads_value(bits: Tensor, head_dim: int) -> Value:
    return Value("sign", (int(bits.shape[1]), int(bits.shape[2]), head_dim))


@operator(
    "(Tensor query, Tensor key, Tensor table, Tensor? offset, Tensor? offset_scale, Tensor? thresholds, int head_dim, "
    "str planes) -> Tensor"
)
def attention_masks(
    query: Tensor,
    key: Tensor,
    table: Tensor,
    offset: Tensor | None,
    offset_scale: Tensor | None,
    thresholds: Tensor | None,
    head_dim: int,
    planes: str,
) -> OperatorCall:
    """Emit `attention_masks`: query `[B,N,H,ceil(D/8)]`, key `[B,M,H,ceil(D/8)]`; `planes`: the rules as JSON."""
    rules = json.loads(planes)
    optional = {"offset": offset, "offset_scale": offset_scale, "thresholds": thresholds}
    tensors = {"table": table} | {name: tensor for name, tensor in optional.items() if tensor is not None}
    shape = (len(rules), int(query.shape[2]), int(query.shape[1]), int(key.shape[1]))
    return OperatorCall(
        "attention_masks",
        [(query, _heads_value(query, head_dim)), (key, _heads_value(key, head_dim))],
        [Value("mask", shape)],
        {"planes": rules},
        tensors,
    )


@operator("(Tensor query, Tensor key, Tensor table, int head_dim, int phase, int patches) -> (Tensor, Tensor)")
def attention_masks_statistics(
    query: Tensor, key: Tensor, table: Tensor, head_dim: int, phase: int, patches: int
) -> OperatorCall:
    """Emit `attention_masks_statistics`: bits of the attention around a factor of the image, and that factor."""
    shape = (1, int(query.shape[2]), int(query.shape[1]), int(key.shape[1]))
    return OperatorCall(
        "attention_masks_statistics",
        [(query, _heads_value(query, head_dim)), (key, _heads_value(key, head_dim))],
        [Value("mask", shape), Value("f32", (1,))],
        {"phase": phase, "patches": patches},
        {"table": table},
    )


@operator("(Tensor v, Tensor? stats, float[] factors, int heads, Tensor? thresholds=None) -> Tensor")
def value_planes(
    v: Tensor, stats: Tensor | None, factors: Sequence[float], heads: int, thresholds: Tensor | None = None
) -> OperatorCall:
    """Emit `value_planes`: v `[B,M,H D]` -> ternary bits `[B,2,P,H,D,ceil(M/8)]`."""
    inputs = [(v, rows_value(v))] + ([(stats, rows_value(stats))] if stats is not None else [])
    shape = (len(factors) + 1, heads, int(v.shape[2]) // heads, int(v.shape[1]))
    tensors = {} if thresholds is None else {"thresholds": thresholds}
    return OperatorCall("value_planes", inputs, [Value("ternary", shape)], {"factors": list(factors)}, tensors)


@operator("(Tensor masks, Tensor planes, Tensor row_scale, Tensor column_scale, int keys) -> Tensor")
def value_product(masks: Tensor, planes: Tensor, row_scale: Tensor, column_scale: Tensor, keys: int) -> OperatorCall:
    """Emit `value_product`: masks `[B,PA,H,N,ceil(M/8)]`, planes `[B,2,PV,H,D,ceil(M/8)]`, M keys -> `[B,N,H D]`."""
    n_masks, heads, n_rows = (int(n) for n in masks.shape[1:4])
    n_planes, head_dim = int(planes.shape[2]), int(planes.shape[4])
    return OperatorCall(
        "value_product",
        [
            (masks, Value("mask", (n_masks, heads, n_rows, keys))),
            (planes, Value("ternary", (n_planes, heads, head_dim, keys))),
        ],
        [Value("f32", (n_rows, heads * head_dim))],
        {},
        {"row_scale": row_scale, "column_scale": column_scale},
    )


@operator("(Tensor x) -> Tensor")
def statistics(x: Tensor) -> OperatorCall:
    """Emit `statistics`: mean and mean magnitude of the whole value, ``[2]``."""
    return OperatorCall("statistics", [(x, rows_value(x))], [Value("f32", (2,))], {}, {})


@operator("(Tensor x, Tensor stats, int heads) -> Tensor")
def sign_statistics(x: Tensor, stats: Tensor, heads: int) -> OperatorCall:
    """Emit `sign_statistics`: bits of ``x < mean``, with `statistics` as second input."""
    inputs = [(x, rows_value(x)), (stats, rows_value(stats))]
    return OperatorCall("sign_statistics", inputs, [Value("sign", _bits_shape(x, heads))], {}, {})


@operator("(Tensor x, Tensor stats) -> Tensor")
def mask_statistics(x: Tensor, stats: Tensor) -> OperatorCall:
    """Emit `mask_statistics`: bits of ``x - mean > magnitude / 2``, with `statistics` as second input."""
    inputs = [(x, rows_value(x)), (stats, rows_value(stats))]
    return OperatorCall("mask_statistics", inputs, [Value("mask", _bits_shape(x, 0))], {}, {})


@operator("(Tensor x, Tensor stats, int index) -> Tensor")
def scale_by(x: Tensor, stats: Tensor, index: int) -> OperatorCall:
    """Emit `scale_by`: `x` times one number of `stats`."""
    return OperatorCall(
        "scale_by", [(x, rows_value(x)), (stats, rows_value(stats))], [rows_value(x)], {"index": index}, {}
    )
