"""Linear layers of 8-bit weights and activations."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import integer_product
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_linear_i8(call: Call) -> tuple[AnyArray]:
    """Compute ``q weight^T scale + bias`` with the codes ``q = round((x + shift) / step)``, clipped to int8."""
    levels = np.rint((call.inputs[0] + call.tensors["shift"]) / call.tensors["step"])
    quantized = np.nan_to_num(np.clip(levels, -128, 127)).astype(np.int8)
    acc = integer_product(quantized, call.tensors["weight"])
    return (acc * call.tensors["scale"] + call.tensors["bias"],)
