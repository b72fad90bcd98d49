"""A scale that is a statistic of the very image."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_scale_by(call: Call) -> tuple[AnyArray]:
    """Compute ``x stats[index]``."""
    x, stats = call.inputs
    return (x * stats[call.attrs["index"]],)
