"""Binary attention: scores, softmax by table, {0,1} planes, ternary planes of V, and their product (GSB, Eq. 9-35)."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitvit.program.arithmetic import sum16
from bitvit.program.errors import OperandError, OperatorAttributeError, OperatorParameterError
from bitvit.program.operators.binary_products import MAX_BINARY_INPUTS, differing_bits
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import AnyArray, F32Array, Value

MAX_PLANES = 8


def check_scores(c: OperatorCheck) -> tuple[int, int, int]:
    """Inputs q [N, H, D] and k [M, H, D] and the table of exponentials. -> H, N, M."""
    c.input_count(2)
    n, n_heads, width = c.input(0, "sign", rank=3)
    m, n_key_heads, key_width = c.input(1, "sign", rank=3)
    c.same("heads and head widths", (n_heads, width), (n_key_heads, key_width))
    if width > MAX_BINARY_INPUTS:
        c.fail(OperandError, f"head width {width}, at most {MAX_BINARY_INPUTS} is allowed")
    table = c.floats("table", (width + 1,))
    c.require(table[0] == 1 and (table >= 0).all(), "parameter 'table' must start with 1 and hold no negative value")
    return n_heads, n, m


def attention_weights(call: Call) -> F32Array:
    """Softmax over the keys by table. sign q [N, H, D], sign k [M, H, D] -> float32 [H, N, M]."""
    q, k = (x.transpose(1, 0, 2) for x in call.inputs)
    p = differing_bits(q, k)
    e = call.tensors["table"][p - p.min(axis=-1, keepdims=True)]
    a: F32Array = e * (np.float32(1) / sum16(e))[..., None]
    return a


def check_attention_masks(c: OperatorCheck) -> None:
    n_heads, n, m = check_scores(c)
    planes = c.attribute("planes")
    if not isinstance(planes, list | tuple) or not 1 <= len(planes) <= MAX_PLANES:
        c.fail(OperatorAttributeError, f"attribute 'planes' must be a list of 1 to {MAX_PLANES} rules")
    needs_thresholds = [_check_rule(c, rule) for rule in planes]
    if any(needs_thresholds):
        c.floats("thresholds", (len(planes), n_heads))
    elif c.has_parameter("thresholds"):
        c.fail(OperatorParameterError, "parameter 'thresholds' is given, but no rule of 'planes' needs it")
    if c.has_parameter("offset"):
        if c.tensors["offset"].dtype == np.int8:
            c.parameter("offset", np.int8, (n_heads, n, m))
            c.floats("offset_scale", (n_heads,))
        else:
            c.floats("offset", (n_heads, n), (n_heads, n, m))
    c.writes(Value("mask", (len(planes), n_heads, n, m)))


def _check_rule(c: OperatorCheck, rule: Any) -> bool:
    """One rule of 'planes'; returns whether it needs thresholds."""
    kind = rule[0] if isinstance(rule, list | tuple) and rule else None
    if kind in ("row_max", "image_max") and len(rule) == 2:
        c.to_number(rule[1], f"the factor of a {kind!r} rule")
        return False
    if kind not in ("greater", "at_least", "ones") or len(rule) != 1:
        c.fail(OperatorAttributeError, f"attribute 'planes' has an unknown rule {rule!r:.80}")
    return bool(kind != "ones")


def run_attention_masks(call: Call) -> tuple[AnyArray]:
    a = attention_weights(call)
    offset = call.tensors.get("offset")
    if offset is not None:
        if offset.dtype == np.int8:
            offset = offset.astype(np.float32) * call.tensors["offset_scale"][:, None, None]
        a = a - (offset[..., None] if offset.ndim == 2 else offset)
    thresholds = call.tensors.get("thresholds")
    planes = [
        _plane(a, rule, None if thresholds is None else thresholds[i]) for i, rule in enumerate(call.attrs["planes"])
    ]
    return (np.stack(planes),)


def _plane(a: F32Array, rule: Any, threshold: F32Array | None) -> AnyArray:
    """The bits [H, N, M] of one rule; ``threshold`` [H] is given where the rule needs it."""
    match rule[0]:
        case "ones":
            return np.ones(a.shape, dtype=np.bool_)
        case "row_max":
            return np.asarray(a > np.float32(rule[1]) * a.max(axis=-1, keepdims=True))
        case "image_max":
            return np.asarray(a > np.float32(rule[1]) * a.max())
        case kind:
            assert threshold is not None
            limit = threshold[:, None, None]
            return np.asarray(a > limit if kind == "greater" else a >= limit)


def check_value_planes(c: OperatorCheck) -> None:
    count = c.input_count(1, 2)
    m, n_channels = c.input(0, "f32", rank=2)
    if count == 2:
        c.same("shape of the statistics", c.input(1, "f32", rank=1), (2,))
    factors = c.attribute("factors")
    if not isinstance(factors, list | tuple) or len(factors) >= MAX_PLANES:
        c.fail(OperatorAttributeError, f"attribute 'factors' must be a list of at most {MAX_PLANES - 1} numbers")
    for factor in factors:
        c.to_number(factor, "a factor")
    declared = c.outputs[0].shape if len(c.outputs) == 1 else ()
    n_heads = declared[1] if len(declared) == 4 else 1
    if n_channels % n_heads:
        c.fail(OperandError, f"{n_channels} channels cannot be split into {n_heads} heads")
    c.writes(Value("ternary", (len(factors) + 1, n_heads, n_channels // n_heads, m)))


def run_value_planes(call: Call) -> tuple[AnyArray]:
    v = call.inputs[0]
    if len(call.inputs) == 2:
        v = v - call.inputs[1][0]
    _, n_heads, width, m = call.outputs[0].shape
    by_head = v.reshape(m, n_heads, width).transpose(1, 2, 0)
    sign = np.where(by_head < 0, np.int8(-1), np.int8(1))
    planes = [sign]
    for factor in map(np.float32, call.attrs["factors"]):
        is_far = (by_head > factor * v.max()) | (by_head < factor * v.min())
        planes.append(sign * is_far.astype(np.int8))
    return (np.stack(planes),)


def check_value_product(c: OperatorCheck) -> None:
    c.input_count(2)
    n_masks, n_heads, n, m = c.input(0, "mask", rank=4)
    n_planes, n_value_heads, width, n_keys = c.input(1, "ternary", rank=4)
    c.same("heads and keys", (n_heads, m), (n_value_heads, n_keys))
    c.floats("row_scale", (n_masks, n_heads))
    c.floats("column_scale", (n_planes,))
    c.writes(Value("f32", (n, n_heads * width)))


def run_value_product(call: Call) -> tuple[AnyArray]:
    masks, planes = (x.astype(np.float64) for x in call.inputs)  # products of small integers are exact in binary64
    row_scale, column_scale = call.tensors["row_scale"], call.tensors["column_scale"]
    y: F32Array | None = None
    for i, mask in enumerate(masks):
        r: F32Array | None = None
        for j, plane in enumerate(planes):
            term = column_scale[j] * (mask @ plane.transpose(0, 2, 1)).astype(np.float32)  # [H, N, D]
            r = term if r is None else r + term
        scaled = row_scale[i][:, None, None] * r
        y = scaled if y is None else y + scaled
    assert y is not None
    return (y.transpose(1, 0, 2).reshape(call.outputs[0].shape),)


SPECS = (
    OperatorSpec("attention_masks", check_attention_masks, run_attention_masks),
    OperatorSpec("value_planes", check_value_planes, run_value_planes),
    OperatorSpec("value_product", check_value_product, run_value_product),
)
