"""RPReLU (ReActNet)."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_rprelu(call: Call) -> tuple[AnyArray]:
    """Compute ``t = x - before; (slope t where t < 0, else t) + after``, per channel."""
    t = call.inputs[0] - call.tensors["before"]
    return (np.where(t < 0, call.tensors["slope"] * t, t) + call.tensors["after"],)
