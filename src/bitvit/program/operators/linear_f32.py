"""Full-precision linear layers."""

from __future__ import annotations

from bitvit.program.arithmetic import linear_in_order
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_linear_f32(call: Call) -> tuple[AnyArray]:
    """Compute ``x weight^T + bias``, sums in the order of the channels."""
    return (linear_in_order(call.inputs[0], call.tensors["weight"], call.tensors["bias"]),)
