"""Between windows as rows and windows as heads."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_windows_to_heads(call: Call) -> tuple[AnyArray]:
    """Return rows of W windows, one after the other, as W times as many channels."""
    x = call.inputs[0]
    windows = x.reshape(call.attrs["windows"], -1, *x.shape[1:])
    return (np.ascontiguousarray(windows.swapaxes(0, 1)).reshape(call.outputs[0].shape),)


def run_heads_to_windows(call: Call) -> tuple[AnyArray]:
    """Return W times as many rows; the inverse of `run_windows_to_heads`."""
    windows = call.attrs["windows"]
    x = call.inputs[0].reshape(len(call.inputs[0]), windows, -1)
    return (np.ascontiguousarray(x.swapaxes(0, 1)).reshape(call.outputs[0].shape),)
