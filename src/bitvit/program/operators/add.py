"""Sums of two values, or of a value and a constant."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_add(call: Call) -> tuple[AnyArray]:
    """Compute ``x + y``."""
    return (call.inputs[0] + call.inputs[1],)


def run_add_constant(call: Call) -> tuple[AnyArray]:
    """Compute ``x + value``."""
    return (call.inputs[0] + call.tensors["value"],)
