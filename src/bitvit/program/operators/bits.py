"""From floats to bits by thresholds that are known when the file is written."""

from __future__ import annotations

from bitvit.program.arithmetic import normalized
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import AnyArray, ValueType


def _check_threshold(c: OperatorCheck, type: ValueType) -> tuple[int, ...]:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    c.floats("threshold", (n_channels,))
    c.writes_bits(n_rows, n_channels, type)
    return (n_channels,)


def check_sign(c: OperatorCheck) -> None:
    _check_threshold(c, "sign")


def run_sign(call: Call) -> tuple[AnyArray]:
    return ((call.inputs[0] < call.tensors["threshold"]).reshape(call.outputs[0].shape),)


def check_mask(c: OperatorCheck) -> None:
    _check_threshold(c, "mask")


def run_mask(call: Call) -> tuple[AnyArray]:
    return ((call.inputs[0] > call.tensors["threshold"]).reshape(call.outputs[0].shape),)


def check_layer_norm_sign(c: OperatorCheck) -> None:
    channels = _check_threshold(c, "sign")
    c.number("eps", positive=True)
    c.floats("weight", channels)


def run_layer_norm_sign(call: Call) -> tuple[AnyArray]:
    d, s = normalized(call.inputs[0], call.attrs["eps"])
    bits = d * call.tensors["weight"] < call.tensors["threshold"] * s
    return (bits.reshape(call.outputs[0].shape),)


SPECS = (
    OperatorSpec("sign", check_sign, run_sign),
    OperatorSpec("mask", check_mask, run_mask),
    OperatorSpec("layer_norm_sign", check_layer_norm_sign, run_layer_norm_sign),
)
