"""Signs of LayerNorm without the division."""

from __future__ import annotations

from bitvit.program.arithmetic import normalized
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_layer_norm_sign(call: Call) -> tuple[AnyArray]:
    """Return the sign bits of a layer norm without dividing: ``d weight < threshold s``."""
    d, s = normalized(call.inputs[0], call.attrs["eps"])
    bits = d * call.tensors["weight"] < call.tensors["threshold"] * s
    return (bits.reshape(call.outputs[0].shape),)
