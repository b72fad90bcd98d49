"""The number of the largest channel of each row: the class of a pixel."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_argmax_channels(call: Call) -> tuple[AnyArray]:
    """Return the channel with the largest value of each row, int32 ``[N]``; the first of equals."""
    x = call.inputs[0]
    # The first of equals; a row of nothing but NaN and -inf has its -inf first, or 0.
    largest = np.argmax(np.where(np.isnan(x), -np.inf, x), axis=1)
    is_inf = np.isneginf(x[np.arange(len(x)), largest]) | np.isnan(x[np.arange(len(x)), largest])
    return (np.where(is_inf, np.argmax(np.isneginf(x), axis=1), largest).astype(np.int32),)
