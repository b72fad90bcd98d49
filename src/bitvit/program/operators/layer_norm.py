"""LayerNorm."""

from __future__ import annotations

from bitvit.program.arithmetic import normalized
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_layer_norm(call: Call) -> tuple[AnyArray]:
    """Compute ``(d / s) weight + bias`` for each row, with the deviations d and the standard deviation s."""
    d, s = normalized(call.inputs[0], call.attrs["eps"])
    return ((d / s) * call.tensors["weight"] + call.tensors["bias"],)
