"""Pixels as floats."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_image_to_float(call: Call) -> tuple[AnyArray]:
    """Compute ``image mul + add``, per channel."""
    return (call.inputs[0].astype(np.float32) * call.tensors["mul"] + call.tensors["add"],)
