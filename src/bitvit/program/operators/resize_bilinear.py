"""Grids of any other size by bilinear interpolation between the centres of their cells."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray, F32Array


def _places_between(n_in: int, n_out: int) -> tuple[AnyArray, AnyArray, F32Array]:
    """For each place of the output the two of the input that it lies between, and the weight of the second."""
    step = 2 * n_out
    centre = np.maximum((2 * np.arange(n_out, dtype=np.int64) + 1) * n_in - n_out, 0)
    first = np.minimum(centre // step, n_in - 1)
    weight: F32Array = (centre - first * step).astype(np.float32) / np.float32(step)
    return first, np.minimum(first + 1, n_in - 1), weight


def run_resize_bilinear(call: Call) -> tuple[AnyArray]:
    """Return the map at another size, bilinearly: first across, then down."""
    x = call.map()
    height, width = call.attrs["size"]
    top, bottom, down = _places_between(x.shape[0], height)
    left, right, across = _places_between(x.shape[1], width)
    across = across[:, None]
    rows = x[:, left] * (np.float32(1) - across) + x[:, right] * across
    down = down[:, None, None]
    y = rows[top] * (np.float32(1) - down) + rows[bottom] * down
    return (y.reshape(call.outputs[0].shape),)
