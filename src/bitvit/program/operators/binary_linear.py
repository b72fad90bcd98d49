"""Linear layers of bits: counts of differing bits, until one scale and one bias, or one threshold, at the end."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import differing_bits
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_binary_linear(call: Call) -> tuple[AnyArray]:
    """Multiply bits by signs: ``z scale + bias``, rows ``[N, O]``; z is an integer."""
    (x,) = call.inputs
    weight = call.weight_bits(x.shape[1])
    p = differing_bits(x, weight)
    z = p - weight.sum(-1, dtype=np.int32) if call.input_types[0] == "mask" else x.shape[1] - 2 * p
    return (z.astype(np.float32) * call.tensors["scale"] + call.tensors["bias"],)


def run_binary_linear_threshold(call: Call) -> tuple[AnyArray]:
    """Return the sign bits of the next layer: whether the number of differing bits is in ``[low, high]``, or not."""
    (x,) = call.inputs
    p = differing_bits(x, call.weight_bits(x.shape[1]))
    is_inside = (call.tensors["low"] <= p) & (p <= call.tensors["high"])
    return ((is_inside ^ (call.tensors["flip"] == 1)).reshape(call.outputs[0].shape),)
