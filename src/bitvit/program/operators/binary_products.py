"""Linear layers of bits: counts of differing bits, until one scale and one bias, or one threshold, at the end."""

from __future__ import annotations

import numpy as np

from bitvit.program.errors import OperandError
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec, unpacked_weight
from bitvit.program.schema import AnyArray, Value

MAX_BINARY_INPUTS = (1 << 15) - 1  # counts of bits are compared with int16 thresholds


def differing_bits(a: AnyArray, b: AnyArray) -> AnyArray:
    """``popcount(a ^ b)`` of every pair of rows. bool [..., N, K], bool [..., O, K] -> int32 [..., N, O].

    As ``|a| + |b| - 2 |a & b|``, with the last term a matrix product of small integers, which is exact in binary64.
    """
    common = a.astype(np.float64) @ np.swapaxes(b.astype(np.float64), -1, -2)
    counts = a.sum(-1)[..., :, None] + b.sum(-1)[..., None, :] - 2 * common.astype(np.int64)
    differing: AnyArray = counts.astype(np.int32)
    return differing


def _check_weight(c: OperatorCheck, n_outputs: int) -> int:
    c.input_count(1)
    n_rows, n_inputs = c.input(0, "sign", "mask", rank=2)
    if n_inputs > MAX_BINARY_INPUTS:
        c.fail(OperandError, f"{n_inputs} inputs, at most {MAX_BINARY_INPUTS} are allowed")
    c.packed_signs("weight", n_outputs, n_inputs)
    return n_rows


def check_binary_linear(c: OperatorCheck) -> None:
    bias = c.floats("bias")
    c.floats("bias", (bias.size,))
    c.floats("scale", (bias.size,))
    n_rows = _check_weight(c, bias.size)
    c.writes(Value("f32", (n_rows, bias.size)))


def run_binary_linear(call: Call) -> tuple[AnyArray]:
    (x,) = call.inputs
    weight = unpacked_weight(call, x.shape[1])
    p = differing_bits(x, weight)
    z = p - weight.sum(-1, dtype=np.int32) if call.input_types[0] == "mask" else x.shape[1] - 2 * p
    return (z.astype(np.float32) * call.tensors["scale"] + call.tensors["bias"],)


def check_binary_linear_threshold(c: OperatorCheck) -> None:
    low = c.parameter("low", np.int16)
    c.parameter("low", np.int16, (low.size,))
    c.parameter("high", np.int16, (low.size,))
    flip = c.parameter("flip", np.uint8, (low.size,))
    c.require((flip <= 1).all(), "parameter 'flip' must hold only 0 and 1")
    n_rows = _check_weight(c, low.size)
    c.writes_bits(n_rows, low.size, "sign", "mask")


def run_binary_linear_threshold(call: Call) -> tuple[AnyArray]:
    (x,) = call.inputs
    p = differing_bits(x, unpacked_weight(call, x.shape[1]))
    is_inside = (call.tensors["low"] <= p) & (p <= call.tensors["high"])
    return ((is_inside ^ (call.tensors["flip"] == 1)).reshape(call.outputs[0].shape),)


SPECS = (
    OperatorSpec("binary_linear", check_binary_linear, run_binary_linear),
    OperatorSpec("binary_linear_threshold", check_binary_linear_threshold, run_binary_linear_threshold),
)
