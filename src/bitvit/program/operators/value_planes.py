"""Ternary planes of the values (GSB)."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_value_planes(call: Call) -> tuple[AnyArray]:
    """Return ternary planes, int8 ``[P, H, D, M]``: the signs, and those far from 0 by each factor."""
    v = call.inputs[0]
    if len(call.inputs) == 2:
        v = v - call.inputs[1][0]
    _, n_heads, width, m = call.outputs[0].shape
    by_head = v.reshape(m, n_heads, width).transpose(1, 2, 0)
    sign = np.where(by_head < 0, np.int8(-1), np.int8(1))
    planes = [sign]
    thresholds = call.tensors.get("thresholds")
    for i, factor in enumerate(map(np.float32, call.attrs["factors"])):
        if thresholds is None:
            is_far = (by_head > factor * v.max()) | (by_head < factor * v.min())
        else:
            is_far = np.abs(by_head) > (factor * thresholds[i])[:, None, None]
        planes.append(sign * is_far.astype(np.int8))
    return (np.stack(planes),)
