"""Operators of the XNOR-Net baseline: thresholds and scales are statistics of the very image (GSB, Eq. 2, 7, 8)."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import sum16, sum_in_order
from bitvit.program.operators.attention import attention_weights, check_scores
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import MAX_DIMENSION, AnyArray, F32Array, Value, ValueType


def check_statistics(c: OperatorCheck) -> None:
    c.input_count(1)
    c.input(0, "f32", rank=2)
    c.writes(Value("f32", (2,)))


def run_statistics(call: Call) -> tuple[AnyArray]:
    (x,) = call.inputs
    sums = np.stack([sum_in_order(sum16(x)), sum_in_order(sum16(np.abs(x)))])
    return (sums / np.float32(x.size),)


def _check_with_statistics(c: OperatorCheck, type: ValueType) -> None:
    c.input_count(2)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    c.same("shape of the statistics", c.input(1, "f32", rank=1), (2,))
    c.writes_bits(n_rows, n_channels, type)


def check_sign_statistics(c: OperatorCheck) -> None:
    _check_with_statistics(c, "sign")


def run_sign_statistics(call: Call) -> tuple[AnyArray]:
    x, stats = call.inputs
    return ((x < stats[0]).reshape(call.outputs[0].shape),)


def check_mask_statistics(c: OperatorCheck) -> None:
    _check_with_statistics(c, "mask")


def run_mask_statistics(call: Call) -> tuple[AnyArray]:
    x, stats = call.inputs
    return (((x - stats[0]) > np.float32(0.5) * stats[1]).reshape(call.outputs[0].shape),)


def check_scale_by(c: OperatorCheck) -> None:
    c.input_count(2)
    shape = c.input(0, "f32", rank=2)
    (count,) = c.input(1, "f32", rank=1)
    c.integer("index", 0, count - 1)
    c.writes(Value("f32", shape))


def run_scale_by(call: Call) -> tuple[AnyArray]:
    x, stats = call.inputs
    return (x * stats[call.attrs["index"]],)


def check_attention_masks_statistics(c: OperatorCheck) -> None:
    n_heads, n, m = check_scores(c)
    c.integer("phase", 1, 2)
    c.integer("patches", 0, MAX_DIMENSION)
    c.writes(Value("mask", (1, n_heads, n, m)), Value("f32", (1,)))


def run_attention_masks_statistics(call: Call) -> tuple[AnyArray, AnyArray]:
    a = attention_weights(call)
    gamma = _mean_of_rows(a, a.size)
    if call.attrs["phase"] == 2:
        is_large = a > np.float32(0.5)
        count = int(is_large.sum())
        if count:
            large = _mean_of_rows(np.where(is_large, a, np.float32(0)), count)
            if int((a > np.float32(0.5) * large).sum()) >= call.attrs["patches"]:
                gamma = large
    return (a > np.float32(0.5) * gamma)[None], gamma.reshape(1)


def _mean_of_rows(a: F32Array, count: int) -> F32Array:
    """`sum16` of each row of keys, added in the order of heads and queries, over ``count``. [H, N, M] -> []."""
    mean: F32Array = np.asarray(sum_in_order(sum16(a).reshape(-1)) / np.float32(count))
    return mean


SPECS = (
    OperatorSpec("statistics", check_statistics, run_statistics),
    OperatorSpec("sign_statistics", check_sign_statistics, run_sign_statistics),
    OperatorSpec("mask_statistics", check_mask_statistics, run_mask_statistics),
    OperatorSpec("scale_by", check_scale_by, run_scale_by),
    OperatorSpec("attention_masks_statistics", check_attention_masks_statistics, run_attention_masks_statistics),
)
