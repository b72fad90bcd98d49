"""Rows by their numbers."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_gather_rows(call: Call) -> tuple[AnyArray]:
    """Return the rows at `index`."""
    return (call.inputs[0][call.tensors["index"]],)
