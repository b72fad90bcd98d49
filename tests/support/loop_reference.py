"""Every operator a second time, in loops over single numbers, written from ``docs/format.md`` alone.

The interpreter is vectorized and must be trusted by everything else; this is what it is checked against. Floats are
numpy.float32 scalars, so that each operation rounds once; bits are Python integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bitvit.program.schema import AnyArray

from .grid_loops import GRID_LOOPS
from .operator_bases import OperatorCase

F = np.float32
ZERO, HALF, ONE = F(0), F(0.5), F(1)


def sum16(x: Any) -> np.float32:
    padded = [F(v) for v in x] + [ZERO] * (-len(x) % 16)
    lanes = padded[:16]
    for start in range(16, len(padded), 16):
        lanes = [lanes[i] + padded[start + i] for i in range(16)]
    for half in (8, 4, 2, 1):
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    return lanes[0]


def in_order(x: Any) -> np.float32:
    total, *rest = list(x)
    for v in rest:
        total = total + v
    return total


def gelu_of(x: np.float32) -> np.float32:
    g = [F(float.fromhex(h)) for h in (
        "0x1.987caep-5", "0x1.5aa422p-6", "0x1.a9e4f0p-9", "0x1.f4f3eap-15", "0x1.5b26c8p-15", "0x1.a90044p-18"
    )]  # fmt: skip
    z = -x if x < 0 else x
    y = g[5]
    for c in (g[4], g[3], g[2], g[1], g[0], ONE):
        y = y * z + c
    y = y * y
    y = y * y
    y = y * y
    y = y * y
    t = HALF / y
    return x * (t if x < 0 else ONE - t)


def as_integer(bits: AnyArray) -> int:
    """Bits of one row as a Python integer."""
    return sum(1 << i for i, bit in enumerate(bits) if bit)


def stored_integer(row: AnyArray) -> int:
    return int.from_bytes(row.tobytes(), "little")


def image_to_float(c: OperatorCase) -> list[AnyArray]:
    (x,) = c.inputs
    out = np.empty(x.shape, F)
    for i in np.ndindex(*x.shape):
        out[i] = F(int(x[i])) * c.tensors["mul"][i[-1]] + c.tensors["add"][i[-1]]
    return [out]


def _patch_positions(c: OperatorCase) -> list[tuple[int, int]]:
    height, width, _ = c.inputs[0].shape
    patch = c.attrs["patch"]
    return [(y, x) for y in range(0, height, patch) for x in range(0, width, patch)]


def patch_conv_u8(c: OperatorCase) -> list[AnyArray]:
    (image,), patch, weight = c.inputs, c.attrs["patch"], c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, (top, left) in enumerate(_patch_positions(c)):
        area = image[top : top + patch, left : left + patch].astype(int)
        for o in range(len(weight)):
            y = c.tensors["bias"][o]
            for channel in range(3):
                acc = int((area[..., channel] * weight[o, ..., channel].astype(int)).sum())
                y = y + c.tensors["scale"][o, channel] * F(acc)
            out[n, o] = y
    return [out]


def patch_conv_f32(c: OperatorCase) -> list[AnyArray]:
    (image,), weight = c.inputs, c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, (top, left) in enumerate(_patch_positions(c)):
        for o in range(len(weight)):
            y = c.tensors["bias"][o]
            for dy, dx, channel in np.ndindex(*weight.shape[1:]):
                y = y + image[top + dy, left + dx, channel] * weight[o, dy, dx, channel]
            out[n, o] = y
    return [out]


def linear_f32(c: OperatorCase) -> list[AnyArray]:
    (x,), weight = c.inputs, c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, o in np.ndindex(*out.shape):
        y = c.tensors["bias"][o]
        for k in range(x.shape[1]):
            y = y + x[n, k] * weight[o, k]
        out[n, o] = y
    return [out]


def linear_i8(c: OperatorCase) -> list[AnyArray]:
    (x,), t = c.inputs, c.tensors
    out = np.empty(c.output_values[0].shape, F)
    for n in range(len(x)):
        # Python's round is half to even too, and exact on a float that was a binary32.
        q = [max(-128, min(127, round(float((x[n, k] + t["shift"][k]) / t["step"][0])))) for k in range(x.shape[1])]
        for o in range(out.shape[1]):
            acc = sum(a * int(w) for a, w in zip(q, t["weight"][o], strict=True))
            out[n, o] = F(acc) * t["scale"][o] + t["bias"][o]
    return [out]


def constant(c: OperatorCase) -> list[AnyArray]:
    return [c.tensors["value"]]


def concat_rows(c: OperatorCase) -> list[AnyArray]:
    return [np.array([row for x in c.inputs for row in x])]


def slice_rows(c: OperatorCase) -> list[AnyArray]:
    return [np.array([c.inputs[0][i] for i in range(c.attrs["start"], c.attrs["stop"])])]


def _each(c: OperatorCase, function: Callable[[np.float32, int, int], Any], dtype: Any = F) -> AnyArray:
    """A result for each (value, row, channel) of the first input."""
    x = c.inputs[0]
    return np.array([[function(x[n, k], n, k) for k in range(x.shape[1])] for n in range(len(x))], dtype)


def add(c: OperatorCase) -> list[AnyArray]:
    return [_each(c, lambda v, n, k: v + c.inputs[1][n, k])]


def add_constant(c: OperatorCase) -> list[AnyArray]:
    value = c.tensors["value"]
    return [_each(c, lambda v, n, k: v + (value[n, k] if value.ndim == 2 else value[k]))]


def affine(c: OperatorCase) -> list[AnyArray]:
    return [_each(c, lambda v, n, k: v * c.tensors["scale"][k] + c.tensors["bias"][k])]


def mean_rows(c: OperatorCase) -> list[AnyArray]:
    (x,) = c.inputs
    return [np.array([[in_order(x[:, k]) / F(len(x)) for k in range(x.shape[1])]], F)]


def gelu(c: OperatorCase) -> list[AnyArray]:
    with np.errstate(all="ignore"):
        return [_each(c, lambda v, n, k: gelu_of(v))]


def rprelu(c: OperatorCase) -> list[AnyArray]:
    def one(v: np.float32, n: int, k: int) -> np.float32:
        t = v - c.tensors["before"][k]
        return (c.tensors["slope"][k] * t if t < 0 else t) + c.tensors["after"][k]

    return [_each(c, one)]


def _normalized(c: OperatorCase) -> tuple[list[list[np.float32]], list[np.float32]]:
    deviations, spreads = [], []
    for row in c.inputs[0]:
        mean = sum16(row) / F(len(row))
        d = [v - mean for v in row]
        variance = sum16([v * v for v in d]) / F(len(row))
        deviations.append(d)
        # The root of a binary32 in binary64, rounded to binary32, is the correctly rounded root.
        spreads.append(F(math.sqrt(float(variance + F(c.attrs["eps"])))))
    return deviations, spreads


def layer_norm(c: OperatorCase) -> list[AnyArray]:
    d, s = _normalized(c)
    return [_each(c, lambda v, n, k: (d[n][k] / s[n]) * c.tensors["weight"][k] + c.tensors["bias"][k])]


def _bits(c: OperatorCase, function: Callable[[np.float32, int, int], Any]) -> list[AnyArray]:
    return [_each(c, function, np.bool_).reshape(c.output_values[0].shape)]


def sign(c: OperatorCase) -> list[AnyArray]:
    return _bits(c, lambda v, n, k: v < c.tensors["threshold"][k])


def mask(c: OperatorCase) -> list[AnyArray]:
    return _bits(c, lambda v, n, k: v > c.tensors["threshold"][k])


def layer_norm_sign(c: OperatorCase) -> list[AnyArray]:
    d, s = _normalized(c)
    return _bits(c, lambda v, n, k: d[n][k] * c.tensors["weight"][k] < c.tensors["threshold"][k] * s[n])


def binary_linear(c: OperatorCase) -> list[AnyArray]:
    (x,), weight = c.inputs, c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, o in np.ndindex(*out.shape):
        a, w = as_integer(x[n]), stored_integer(weight[o])
        if c.input_values[0].type == "sign":
            z = sum(-1 if (a >> k ^ w >> k) & 1 else 1 for k in range(x.shape[1]))
        else:
            z = sum((a >> k & 1) * (-1 if w >> k & 1 else 1) for k in range(x.shape[1]))
        out[n, o] = F(z) * c.tensors["scale"][o] + c.tensors["bias"][o]
    return [out]


def binary_linear_threshold(c: OperatorCase) -> list[AnyArray]:
    (x,), t = c.inputs, c.tensors
    out = np.empty((len(x), len(t["low"])), np.bool_)
    for n, o in np.ndindex(*out.shape):
        p = (as_integer(x[n]) ^ stored_integer(t["weight"][o])).bit_count()
        out[n, o] = (int(t["low"][o]) <= p <= int(t["high"][o])) != bool(t["flip"][o])
    return [out.reshape(c.output_values[0].shape)]


def _attention(c: OperatorCase) -> AnyArray:
    q, k = c.inputs
    a = np.empty((q.shape[1], len(q), len(k)), F)
    for h, n in np.ndindex(q.shape[1], len(q)):
        p = [(as_integer(q[n, h]) ^ as_integer(key)).bit_count() for key in k[:, h]]
        e = [c.tensors["table"][count - min(p)] for count in p]
        inverse = ONE / sum16(e)
        a[h, n] = [value * inverse for value in e]
    return a


def attention_masks(c: OperatorCase) -> list[AnyArray]:
    a = _attention(c)
    offset = c.tensors.get("offset")
    if offset is not None:
        for h, n, m in np.ndindex(*a.shape):
            value = offset[h, n] if offset.ndim == 2 else offset[h, n, m]
            a[h, n, m] = a[h, n, m] - (
                F(int(value)) * c.tensors["offset_scale"][h] if offset.dtype == np.int8 else value
            )
    out = np.empty(c.output_values[0].shape, np.bool_)
    for i, h, n, m in np.ndindex(*out.shape):
        value = a[h, n, m]
        match c.attrs["planes"][i]:
            case ["ones"]:
                bit = True
            case ["greater"]:
                bit = value > c.tensors["thresholds"][i, h]
            case ["at_least"]:
                bit = value >= c.tensors["thresholds"][i, h]
            case ["row_max", factor]:
                bit = value > F(factor) * max(a[h, n])
            case ["image_max", factor]:
                bit = value > F(factor) * max(a.flat)
        out[i, h, n, m] = bit
    return [out]


def value_planes(c: OperatorCase) -> list[AnyArray]:
    v = c.inputs[0]
    if len(c.inputs) == 2:
        v = np.array([[value - c.inputs[1][0] for value in row] for row in v], F)
    largest, smallest = max(v.flat), min(v.flat)
    out = np.empty(c.output_values[0].shape, np.int8)
    for i, h, d, m in np.ndindex(*out.shape):
        value = v[m, h * out.shape[2] + d]
        sign = -1 if value < 0 else 1
        if i > 0:
            factor = F(c.attrs["factors"][i - 1])
            if not (value > factor * largest or value < factor * smallest):
                sign = 0
        out[i, h, d, m] = sign
    return [out]


def value_product(c: OperatorCase) -> list[AnyArray]:
    masks, planes = c.inputs
    width = planes.shape[2]
    out = np.empty(c.output_values[0].shape, F)
    for n, channel in np.ndindex(*out.shape):
        h, d = divmod(channel, width)
        y = None
        for i in range(len(masks)):
            r = None
            for j in range(len(planes)):
                t = sum(int(p) for bit, p in zip(masks[i, h, n], planes[j, h, d], strict=True) if bit)
                term = c.tensors["column_scale"][j] * F(t)
                r = term if r is None else r + term
            term = c.tensors["row_scale"][i, h] * r
            y = term if y is None else y + term
        out[n, channel] = y
    return [out]


def statistics(c: OperatorCase) -> list[AnyArray]:
    (x,) = c.inputs
    sums = [in_order([sum16(row) for row in x]), in_order([sum16([abs(v) for v in row]) for row in x])]
    return [np.array([total / F(x.size) for total in sums], F)]


def sign_statistics(c: OperatorCase) -> list[AnyArray]:
    return _bits(c, lambda v, n, k: v < c.inputs[1][0])


def mask_statistics(c: OperatorCase) -> list[AnyArray]:
    mean, magnitude = c.inputs[1]
    return _bits(c, lambda v, n, k: v - mean > HALF * magnitude)


def scale_by(c: OperatorCase) -> list[AnyArray]:
    return [_each(c, lambda v, n, k: v * c.inputs[1][c.attrs["index"]])]


def attention_masks_statistics(c: OperatorCase) -> list[AnyArray]:
    a = _attention(c)
    rows = [a[h, n] for h in range(a.shape[0]) for n in range(a.shape[1])]
    gamma = in_order([sum16(row) for row in rows]) / F(a.size)
    count = sum(1 for v in a.flat if v > HALF)
    if c.attrs["phase"] == 2 and count:
        large = in_order([sum16([v if v > HALF else ZERO for v in row]) for row in rows]) / F(count)
        if sum(1 for v in a.flat if v > HALF * large) >= c.attrs["patches"]:
            gamma = large
    bits = np.array([v > HALF * gamma for v in a.flat], np.bool_).reshape(c.output_values[0].shape)
    return [bits, np.array([gamma], F)]


LOOPS: dict[str, Callable[[OperatorCase], list[AnyArray]]] = {
    function.__name__: function
    for function in (
        image_to_float,
        patch_conv_u8,
        patch_conv_f32,
        linear_f32,
        linear_i8,
        constant,
        concat_rows,
        slice_rows,
        add,
        add_constant,
        affine,
        mean_rows,
        gelu,
        rprelu,
        layer_norm,
        sign,
        mask,
        layer_norm_sign,
        binary_linear,
        binary_linear_threshold,
        attention_masks,
        value_planes,
        value_product,
        statistics,
        sign_statistics,
        mask_statistics,
        scale_by,
        attention_masks_statistics,
    )
}
LOOPS.update(GRID_LOOPS)
