"""Operators that move rows and channels, or average neighbouring channels."""

from __future__ import annotations

import numpy as np

from bitvit.program.errors import OperandError
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import MAX_DIMENSION, AnyArray, Value


def check_gather_rows(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", "sign", rank=2)
    index = c.parameter("index", np.int32)
    c.parameter("index", np.int32, (index.size,))
    c.require(index.size > 0 and index.min() >= 0 and index.max() < n_rows, "parameter 'index' points outside the rows")
    c.writes(Value(c.inputs[0].type, (index.size, n_channels)))


def run_gather_rows(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0][call.tensors["index"]],)


def check_repeat_channels(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    times = c.integer("times", 1, MAX_DIMENSION // n_channels)
    c.writes(Value("f32", (n_rows, n_channels * times)))


def run_repeat_channels(call: Call) -> tuple[AnyArray]:
    return (np.tile(call.inputs[0], (1, call.attrs["times"])),)


def check_mean_channels(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    group = c.integer("group", 1, n_channels)
    if n_channels % group:
        c.fail(OperandError, f"{n_channels} channels cannot be averaged in groups of {group}")
    c.writes(Value("f32", (n_rows, n_channels // group)))


def run_mean_channels(call: Call) -> tuple[AnyArray]:
    group = call.attrs["group"]
    x = call.inputs[0].reshape(len(call.inputs[0]), -1, group)
    total = x[..., 0].copy()
    for i in range(1, group):
        total = total + x[..., i]
    return (total / np.float32(group),)


def check_reshape_rows(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    rows = c.integer("rows", 1, n_rows * n_channels)
    if n_rows * n_channels % rows:
        c.fail(OperandError, f"{n_rows} x {n_channels} values cannot be split into {rows} rows")
    c.writes(Value("f32", (rows, n_rows * n_channels // rows)))


def run_reshape_rows(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0].reshape(call.outputs[0].shape),)


def check_windows_to_heads(c: OperatorCheck) -> None:
    c.input_count(1)
    kind = c.inputs[0].type
    shape = c.input(0, "f32", "sign", rank=3 if kind == "sign" else 2)
    windows = c.integer("windows", 1, shape[0])
    if shape[0] % windows:
        c.fail(OperandError, f"{shape[0]} rows cannot be split into {windows} windows")
    c.writes(Value(kind, (shape[0] // windows, shape[1] * windows, *shape[2:])))


def run_windows_to_heads(call: Call) -> tuple[AnyArray]:
    x = call.inputs[0]
    windows = x.reshape(call.attrs["windows"], -1, *x.shape[1:])
    return (np.ascontiguousarray(windows.swapaxes(0, 1)).reshape(call.outputs[0].shape),)


def check_heads_to_windows(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    windows = c.integer("windows", 1, n_channels)
    if n_channels % windows:
        c.fail(OperandError, f"{n_channels} channels cannot be split into {windows} windows")
    c.writes(Value("f32", (n_rows * windows, n_channels // windows)))


def run_heads_to_windows(call: Call) -> tuple[AnyArray]:
    windows = call.attrs["windows"]
    x = call.inputs[0].reshape(len(call.inputs[0]), windows, -1)
    return (np.ascontiguousarray(x.swapaxes(0, 1)).reshape(call.outputs[0].shape),)


SPECS = (
    OperatorSpec("gather_rows", check_gather_rows, run_gather_rows),
    OperatorSpec("repeat_channels", check_repeat_channels, run_repeat_channels),
    OperatorSpec("mean_channels", check_mean_channels, run_mean_channels),
    OperatorSpec("reshape_rows", check_reshape_rows, run_reshape_rows),
    OperatorSpec("windows_to_heads", check_windows_to_heads, run_windows_to_heads),
    OperatorSpec("heads_to_windows", check_heads_to_windows, run_heads_to_windows),
)
