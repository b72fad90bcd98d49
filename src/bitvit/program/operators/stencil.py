"""Sums of neighbouring cells of a grid."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def _shifted(x: AnyArray, dy: int, dx: int, wrap: bool) -> AnyArray:
    """``out[y, x] = x[y + dy, x + dx]`` of a map [h, w, C], modulo its size or 0 outside."""
    for axis, distance in ((0, dy), (1, dx)):
        if wrap:
            x = np.roll(x, -distance, axis)
            continue
        n = x.shape[axis]
        cells = np.arange(n) + distance
        inside = (cells >= 0) & (cells < n)
        x = np.where(np.expand_dims(inside, [1 - axis, 2]), x.take(cells.clip(0, n - 1), axis), np.float32(0))
    return x


def run_stencil(call: Call) -> tuple[AnyArray]:
    """Return, for each group of channels, the sum of the cells at its offsets, divided by `divisor`."""
    x = call.map()
    groups, divisor = call.attrs["groups"], call.attrs["divisor"]
    width = x.shape[2] // len(groups)
    y = np.empty_like(x)
    for g, taps in enumerate(groups):
        channels = slice(g * width, (g + 1) * width)
        parts = [_shifted(x[..., channels], dy, dx, call.attrs["wrap"]) for dy, dx in taps]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        y[..., channels] = total / np.float32(divisor) if divisor > 1 else total
    return (y.reshape(call.outputs[0].shape),)
