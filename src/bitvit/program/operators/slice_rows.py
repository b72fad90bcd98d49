"""A range of rows."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_slice_rows(call: Call) -> tuple[AnyArray]:
    """Return the rows from `start` to `stop`, which is left out."""
    return (call.inputs[0][call.attrs["start"] : call.attrs["stop"]],)
