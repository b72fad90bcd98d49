"""Values that do not depend on the image, such as class tokens."""

from __future__ import annotations

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_constant(call: Call) -> tuple[AnyArray]:
    """Return the stored value."""
    return (call.tensors["value"],)
