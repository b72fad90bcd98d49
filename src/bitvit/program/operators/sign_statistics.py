"""Bits by thresholds that are statistics of the very image (GSB, Eq. 2, 7, 8)."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_sign_statistics(call: Call) -> tuple[AnyArray]:
    """Return bits of ``x < mean``."""
    x, stats = call.inputs
    return ((x < stats[0]).reshape(call.outputs[0].shape),)


def run_mask_statistics(call: Call) -> tuple[AnyArray]:
    """Return bits of ``x - mean > magnitude / 2``."""
    x, stats = call.inputs
    return (((x - stats[0]) > np.float32(0.5) * stats[1]).reshape(call.outputs[0].shape),)
