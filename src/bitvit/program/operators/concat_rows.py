"""Rows of several values one behind the other."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_concat_rows(call: Call) -> tuple[AnyArray]:
    """Return the rows of x, then those of y."""
    return (np.concatenate(call.inputs, axis=0),)
