"""Average and maximum of windows of a grid."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_pool(call: Call) -> tuple[AnyArray]:
    """Return the average or the maximum of each window of the map; cells beyond the edge are 0, or left out."""
    x = call.map()
    kernel, stride, padding = (call.attrs[name] for name in ("kernel", "stride", "padding"))
    h, w = ((n + 2 * padding - kernel) // stride + 1 for n in x.shape[:2])
    y = np.empty((h * w, x.shape[2]), np.float32)
    for i in range(h * w):
        top, left = i // w * stride - padding, i % w * stride - padding
        window = x[max(top, 0) : top + kernel, max(left, 0) : left + kernel].reshape(-1, x.shape[2])
        result = window[0]
        for cell in window[1:]:
            result = result + cell if call.attrs["kind"] == "average" else np.where(cell > result, cell, result)
        y[i] = result / np.float32(kernel * kernel) if call.attrs["kind"] == "average" else result
    return (y,)
