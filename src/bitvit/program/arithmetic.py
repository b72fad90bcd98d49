"""The float operations that more than one operator uses, in the one order that ``docs/format.md`` fixes.

NumPy's own sums are of no use here: their order depends on length, layout and processor.
"""

from __future__ import annotations

import numpy as np

from bitvit.program.schema import AnyArray, F32Array

LANES = 16


def sum16(x: F32Array) -> F32Array:
    """Sum over the last axis: 16 running lanes, then halved. float32 [..., n] -> float32 [...]."""
    n = x.shape[-1]
    n_rows = -(-n // LANES)
    padded = np.zeros((*x.shape[:-1], n_rows * LANES), dtype=np.float32)
    padded[..., :n] = x
    rows = padded.reshape(*x.shape[:-1], n_rows, LANES)
    lanes = rows[..., 0, :]
    for i in range(1, n_rows):
        lanes = lanes + rows[..., i, :]
    for half in (8, 4, 2, 1):
        lanes = lanes[..., :half] + lanes[..., half : 2 * half]
    total: F32Array = lanes[..., 0]
    return total


def sum_in_order(x: F32Array) -> F32Array:
    """Sum over the first axis, one element after the other. float32 [n, ...] -> float32 [...]."""
    total: F32Array = x[0].copy()
    for row in x[1:]:
        total = total + row
    return total


def normalized(x: F32Array, eps: float) -> tuple[F32Array, F32Array]:
    """Deviation from the mean of each row, and its standard deviation.

    float32 [N, C] -> d float32 [N, C], s float32 [N, 1], with ``s = sqrt(sum16(d * d) / C + eps)``.
    """
    count = np.float32(x.shape[-1])
    mean = sum16(x) / count
    d: F32Array = x - mean[..., None]
    s: F32Array = np.sqrt(sum16(d * d) / count + np.float32(eps))
    return d, s[..., None]


def integer_product(a: AnyArray, b: AnyArray) -> F32Array:
    """``f32(sum_k a[..., n, k] * b[..., o, k])`` of integers, the sum exact.

    binary64 represents every sum below 2^53, so that the fast matrix product of NumPy is exact whatever its order; the
    limits of the format keep sums below 2^31. Integer [..., N, K], integer [..., O, K] -> float32 [..., N, O].
    """
    product = a.astype(np.float64) @ np.swapaxes(b.astype(np.float64), -1, -2)
    rounded: F32Array = product.astype(np.float32)
    return rounded


def signs(bits: AnyArray) -> AnyArray:
    """Sign bits as numbers: bool -> int8, True -> -1, False -> +1."""
    numbers: AnyArray = np.int8(1) - np.int8(2) * bits.astype(np.int8)
    return numbers


def differing_bits(a: AnyArray, b: AnyArray) -> AnyArray:
    """``popcount(a ^ b)`` of every pair of rows. bool [..., N, K], bool [..., O, K] -> int32 [..., N, O].

    As ``|a| + |b| - 2 |a & b|``, with the last term a matrix product of small integers, which is exact in binary64.
    """
    common = a.astype(np.float64) @ np.swapaxes(b.astype(np.float64), -1, -2)
    counts = a.sum(-1)[..., :, None] + b.sum(-1)[..., None, :] - 2 * common.astype(np.int64)
    differing: AnyArray = counts.astype(np.int32)
    return differing


def linear_in_order(x: F32Array, weight: F32Array, bias: F32Array) -> F32Array:
    """Products added to the bias one after the other. [N, K], [O, K], [O] -> [N, O]."""
    y: F32Array = np.broadcast_to(bias, (x.shape[0], bias.shape[0])).astype(np.float32)
    for k in range(x.shape[1]):
        y = y + x[:, k, None] * weight[None, :, k]
    return y
