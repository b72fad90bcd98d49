"""Mean and mean magnitude of a value (XNOR-Net baseline; GSB, Eq. 2, 7, 8)."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import sum16, sum_in_order
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_statistics(call: Call) -> tuple[AnyArray]:
    """Return the mean and the mean magnitude of all numbers, ``[2]``."""
    (x,) = call.inputs
    sums = np.stack([sum_in_order(sum16(x)), sum_in_order(sum16(np.abs(x)))])
    return (sums / np.float32(x.size),)
