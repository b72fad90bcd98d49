"""Cells repeated: nearest-neighbour enlargement."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_upsample(call: Call) -> tuple[AnyArray]:
    """Return the map with each cell repeated `factor` times along both axes."""
    factor = call.attrs["factor"]
    return (call.map().repeat(factor, axis=0).repeat(factor, axis=1).reshape(call.outputs[0].shape),)
