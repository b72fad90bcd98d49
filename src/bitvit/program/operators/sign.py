"""Bits by thresholds that are known when the file is written."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_sign(call: Call) -> tuple[AnyArray]:
    """Return bits of ``x < threshold``, per channel."""
    return ((call.inputs[0] < call.tensors["threshold"]).reshape(call.outputs[0].shape),)


def run_mask(call: Call) -> tuple[AnyArray]:
    """Return bits of ``x > threshold``, per channel."""
    return ((call.inputs[0] > call.tensors["threshold"]).reshape(call.outputs[0].shape),)
