"""Float work that is not binary: constants, rows, element-wise operators, LayerNorm."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import normalized, sum_in_order
from bitvit.program.errors import OperandError
from bitvit.program.gelu import gelu
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import MAX_DIMENSION, MAX_RANK, AnyArray, Value


def check_constant(c: OperatorCheck) -> None:
    c.input_count(0)
    value = c.floats("value")
    c.require(1 <= value.ndim <= MAX_RANK, f"parameter 'value' must have 1 to {MAX_RANK} axes")
    c.writes(Value("f32", value.shape))


def run_constant(call: Call) -> tuple[AnyArray]:
    return (call.tensors["value"],)


def check_concat_rows(c: OperatorCheck) -> None:
    count = c.input_count(1, MAX_DIMENSION)
    shapes = [c.input(i, "f32", rank=2) for i in range(count)]
    for shape in shapes[1:]:
        c.same("numbers of channels", shapes[0][1], shape[1])
    c.writes(Value("f32", (sum(shape[0] for shape in shapes), shapes[0][1])))


def run_concat_rows(call: Call) -> tuple[AnyArray]:
    return (np.concatenate(call.inputs, axis=0),)


def check_slice_rows(c: OperatorCheck) -> None:
    c.input_count(1)
    shape = c.input(0, "f32", "sign", "mask")
    kind = c.inputs[0].type
    if len(shape) != 2 and (kind == "f32" or len(shape) != 3):
        c.fail(OperandError, f"input {c.op.inputs[0]!r} has shape {list(shape)}, expected rows")
    stop = c.integer("stop", 1, shape[0])
    start = c.integer("start", 0, stop - 1)
    c.writes(Value(kind, (stop - start, *shape[1:])))


def run_slice_rows(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0][call.attrs["start"] : call.attrs["stop"]],)


def check_add(c: OperatorCheck) -> None:
    c.input_count(2)
    shape = c.input(0, "f32")
    c.same("shapes of the inputs", shape, c.input(1, "f32"))
    c.writes(Value("f32", shape))


def run_add(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0] + call.inputs[1],)


def check_add_constant(c: OperatorCheck) -> None:
    shape = _check_rows(c)
    c.floats("value", shape, shape[1:])


def run_add_constant(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0] + call.tensors["value"],)


def check_affine(c: OperatorCheck) -> None:
    shape = _check_rows(c)
    c.floats("scale", shape[1:])
    c.floats("bias", shape[1:])


def run_affine(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0] * call.tensors["scale"] + call.tensors["bias"],)


def check_mean_rows(c: OperatorCheck) -> None:
    c.input_count(1)
    _, n_channels = c.input(0, "f32", rank=2)
    c.writes(Value("f32", (1, n_channels)))


def run_mean_rows(call: Call) -> tuple[AnyArray]:
    (x,) = call.inputs
    return (sum_in_order(x)[None] / np.float32(x.shape[0]),)


def check_gelu(c: OperatorCheck) -> None:
    c.input_count(1)
    c.writes(Value("f32", c.input(0, "f32")))


def run_gelu(call: Call) -> tuple[AnyArray]:
    return (gelu(call.inputs[0]),)


def check_rprelu(c: OperatorCheck) -> None:
    shape = _check_rows(c)
    for name in ("before", "slope", "after"):
        c.floats(name, shape[1:])


def run_rprelu(call: Call) -> tuple[AnyArray]:
    t = call.inputs[0] - call.tensors["before"]
    return (np.where(t < 0, call.tensors["slope"] * t, t) + call.tensors["after"],)


def check_layer_norm(c: OperatorCheck) -> None:
    shape = _check_rows(c)
    c.number("eps", positive=True)
    c.floats("weight", shape[1:])
    c.floats("bias", shape[1:])


def run_layer_norm(call: Call) -> tuple[AnyArray]:
    d, s = normalized(call.inputs[0], call.attrs["eps"])
    return ((d / s) * call.tensors["weight"] + call.tensors["bias"],)


def _check_rows(c: OperatorCheck) -> tuple[int, ...]:
    """One input [N, C] of floats, and an output like it."""
    c.input_count(1)
    shape = c.input(0, "f32", rank=2)
    c.writes(Value("f32", shape))
    return shape


SPECS = (
    OperatorSpec("constant", check_constant, run_constant),
    OperatorSpec("concat_rows", check_concat_rows, run_concat_rows),
    OperatorSpec("slice_rows", check_slice_rows, run_slice_rows),
    OperatorSpec("add", check_add, run_add),
    OperatorSpec("add_constant", check_add_constant, run_add_constant),
    OperatorSpec("affine", check_affine, run_affine),
    OperatorSpec("mean_rows", check_mean_rows, run_mean_rows),
    OperatorSpec("gelu", check_gelu, run_gelu),
    OperatorSpec("rprelu", check_rprelu, run_rprelu),
    OperatorSpec("layer_norm", check_layer_norm, run_layer_norm),
)
