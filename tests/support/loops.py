"""What the loops over single numbers of `tests/operators` share, written from ``docs/format.md`` alone.

The interpreter is vectorized and must be trusted by everything else; the loops are what it is checked against. Floats
are numpy.float32 scalars, so that each operation rounds once; bits are Python integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bitvit.program.schema import AnyArray

from .operator_cases import OperatorCase

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


def as_integer(bits: AnyArray) -> int:
    """Bits of one row as a Python integer."""
    return sum(1 << i for i, bit in enumerate(bits) if bit)


def stored_integer(row: AnyArray) -> int:
    return int.from_bytes(row.tobytes(), "little")


def each(c: OperatorCase, function: Callable[[np.float32, int, int], Any], dtype: Any = F) -> AnyArray:
    """A result for each (value, row, channel) of the first input."""
    x = c.inputs[0]
    return np.array([[function(x[n, k], n, k) for k in range(x.shape[1])] for n in range(len(x))], dtype)


def each_bit(c: OperatorCase, function: Callable[[np.float32, int, int], Any]) -> list[AnyArray]:
    return [each(c, function, np.bool_).reshape(c.output_values[0].shape)]


def normalized(c: OperatorCase) -> tuple[list[list[np.float32]], list[np.float32]]:
    deviations, spreads = [], []
    for row in c.inputs[0]:
        mean = sum16(row) / F(len(row))
        d = [v - mean for v in row]
        variance = sum16([v * v for v in d]) / F(len(row))
        deviations.append(d)
        # The root of a binary32 in binary64, rounded to binary32, is the correctly rounded root.
        spreads.append(F(math.sqrt(float(variance + F(c.attrs["eps"])))))
    return deviations, spreads


def attention(c: OperatorCase) -> AnyArray:
    q, k = c.inputs
    a = np.empty((q.shape[1], len(q), len(k)), F)
    for h, n in np.ndindex(q.shape[1], len(q)):
        p = [(as_integer(q[n, h]) ^ as_integer(key)).bit_count() for key in k[:, h]]
        e = [c.tensors["table"][count - min(p)] for count in p]
        inverse = ONE / sum16(e)
        a[h, n] = [value * inverse for value in e]
    return a


def empty(c: OperatorCase) -> AnyArray:
    return np.empty(c.output_values[0].shape, c.inputs[0].dtype)
