"""GELU."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.gelu import gelu
from bitvit.program.schema import AnyArray


def run_gelu(call: Call) -> tuple[AnyArray]:
    """Return GELU of each number."""
    return (gelu(call.inputs[0]),)
