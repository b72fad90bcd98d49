"""The mean of all rows."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import sum_in_order
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_mean_rows(call: Call) -> tuple[AnyArray]:
    """Return the mean of all rows, ``[1, C]``."""
    (x,) = call.inputs
    return (sum_in_order(x)[None] / np.float32(x.shape[0]),)
