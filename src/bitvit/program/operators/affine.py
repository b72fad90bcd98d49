"""A scale and a bias for each channel."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_affine(call: Call) -> tuple[AnyArray]:
    """Compute ``x scale + bias``, per channel."""
    return (call.inputs[0] * call.tensors["scale"] + call.tensors["bias"],)
