"""Means of adjacent channels."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_mean_channels(call: Call) -> tuple[AnyArray]:
    """Return the mean of each `group` of neighbouring channels."""
    group = call.attrs["group"]
    x = call.inputs[0].reshape(len(call.inputs[0]), -1, group)
    total = x[..., 0].copy()
    for i in range(1, group):
        total = total + x[..., i]
    return (total / np.float32(group),)
