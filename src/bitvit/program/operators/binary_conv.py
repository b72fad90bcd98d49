"""Convolutions of bits."""

from __future__ import annotations

import numpy as np

from bitvit.program.bits import unpack_bits
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def _overlap(n: int, distance: int) -> tuple[slice, slice]:
    """The cells i of 0..n-1 for which i + distance is one of them too, and those i + distance."""
    first, last = max(0, -distance), min(n, n - distance)
    if first >= last:
        return slice(0, 0), slice(0, 0)
    return slice(first, last), slice(first + distance, last + distance)


def run_binary_conv(call: Call) -> tuple[AnyArray]:
    """Convolve signs with signs: ``z scale + bias``, rows ``[H W, O]``; z is an integer, and zeros pad."""
    x = call.map()
    h, w, n_channels = x.shape
    kernel, dilation, groups = (call.attrs[name] for name in ("kernel", "dilation", "groups"))
    width = n_channels // groups
    weight = 1.0 - 2.0 * unpack_bits(call.tensors["weight"], width).astype(np.float64)
    n_outputs = len(weight) // groups
    signs = 1.0 - 2.0 * x.astype(np.float64)
    z = np.zeros((h, w, len(weight)))  # exact: small integers
    for tap in range(kernel * kernel):
        rows, source_rows = _overlap(h, (tap // kernel - kernel // 2) * dilation)
        columns, source_columns = _overlap(w, (tap % kernel - kernel // 2) * dilation)
        part = signs[source_rows, source_columns]
        for g in range(groups):
            outputs = slice(g * n_outputs, (g + 1) * n_outputs)
            z[rows, columns, outputs] += part[..., g * width : (g + 1) * width] @ weight[outputs, tap].T
    y = z.reshape(h * w, -1).astype(np.float32) * call.tensors["scale"] + call.tensors["bias"]
    return (y,)
