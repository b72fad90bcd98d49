"""The ends of a network that are not binary: patch convolutions, full-precision and 8-bit linear layers."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import integer_product
from bitvit.program.errors import OperandError
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import AnyArray, F32Array, Value

MAX_PATCH = 256  # 256 * 256 * 255 * 128 < 2^31: the sum over one channel of a patch fits int32
MAX_LINEAR_I8_INPUTS = 1 << 16  # 2^16 * 128 * 128 < 2^31


def check_image_to_float(c: OperatorCheck) -> None:
    c.input_count(1)
    shape = c.input(0, "u8", rank=3)
    c.floats("mul", shape[-1:])
    c.floats("add", shape[-1:])
    c.writes(Value("f32", shape))


def run_image_to_float(call: Call) -> tuple[AnyArray]:
    return (call.inputs[0].astype(np.float32) * call.tensors["mul"] + call.tensors["add"],)


def _check_patches(c: OperatorCheck, shape: tuple[int, ...]) -> tuple[int, int]:
    patch = c.integer("patch", 1, MAX_PATCH)
    height, width = shape[:2]
    if height % patch or width % patch:
        c.fail(OperandError, f"an input of {height} x {width} cannot be cut into patches of {patch} x {patch}")
    return patch, (height // patch) * (width // patch)


def _patches(x: AnyArray, patch: int) -> AnyArray:
    """[H, W, C] -> [N, patch, patch, C], non-overlapping, row-major."""
    height, width, channels = x.shape
    grid = x.reshape(height // patch, patch, width // patch, patch, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, patch, patch, channels)


def check_patch_conv_u8(c: OperatorCheck) -> None:
    c.input_count(1)
    shape = c.input(0, "u8", rank=3)
    patch, n_patches = _check_patches(c, shape)
    bias = c.floats("bias")
    c.floats("bias", (bias.size,))
    c.parameter("weight", np.int8, (bias.size, patch, patch, shape[2]))
    c.floats("scale", (bias.size, shape[2]))
    c.writes(Value("f32", (n_patches, bias.size)))


def run_patch_conv_u8(call: Call) -> tuple[AnyArray]:
    patches = _patches(call.inputs[0], call.attrs["patch"])
    weight, scale, bias = call.tensors["weight"], call.tensors["scale"], call.tensors["bias"]
    n_patches, n_outputs, n_channels = patches.shape[0], weight.shape[0], patches.shape[-1]
    y: AnyArray = np.broadcast_to(bias, (n_patches, n_outputs))
    for channel in range(n_channels):
        pixels = patches[..., channel].reshape(n_patches, -1)
        kernel = weight[..., channel].reshape(n_outputs, -1)
        y = y + scale[:, channel] * integer_product(pixels, kernel)
    return (y,)


def check_patch_conv_f32(c: OperatorCheck) -> None:
    c.input_count(1)
    shape = c.input(0, "f32", rank=3)
    patch, n_patches = _check_patches(c, shape)
    bias = c.floats("bias")
    c.floats("bias", (bias.size,))
    c.floats("weight", (bias.size, patch, patch, shape[2]))
    c.writes(Value("f32", (n_patches, bias.size)))


def run_patch_conv_f32(call: Call) -> tuple[AnyArray]:
    patches = _patches(call.inputs[0], call.attrs["patch"])
    weight = call.tensors["weight"]
    return (_linear(patches.reshape(len(patches), -1), weight.reshape(len(weight), -1), call.tensors["bias"]),)


def check_linear_f32(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_inputs = c.input(0, "f32", rank=2)
    bias = c.floats("bias")
    c.floats("bias", (bias.size,))
    c.floats("weight", (bias.size, n_inputs))
    c.writes(Value("f32", (n_rows, bias.size)))


def run_linear_f32(call: Call) -> tuple[AnyArray]:
    return (_linear(call.inputs[0], call.tensors["weight"], call.tensors["bias"]),)


def _linear(x: F32Array, weight: F32Array, bias: F32Array) -> F32Array:
    """Products added to the bias one after the other. [N, K], [O, K], [O] -> [N, O]."""
    y: F32Array = np.broadcast_to(bias, (x.shape[0], bias.shape[0])).astype(np.float32)
    for k in range(x.shape[1]):
        y = y + x[:, k, None] * weight[None, :, k]
    return y


def check_linear_i8(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_inputs = c.input(0, "f32", rank=2)
    if n_inputs > MAX_LINEAR_I8_INPUTS:
        c.fail(OperandError, f"{n_inputs} inputs, at most {MAX_LINEAR_I8_INPUTS} are allowed")
    bias = c.floats("bias")
    c.floats("bias", (bias.size,))
    c.floats("scale", (bias.size,))
    c.floats("shift", (n_inputs,))
    c.require((c.floats("step", (1,)) > 0).all(), "parameter 'step' must be positive")
    c.parameter("weight", np.int8, (bias.size, n_inputs))
    c.writes(Value("f32", (n_rows, bias.size)))


def run_linear_i8(call: Call) -> tuple[AnyArray]:
    levels = np.rint((call.inputs[0] + call.tensors["shift"]) / call.tensors["step"])
    quantized = np.nan_to_num(np.clip(levels, -128, 127)).astype(np.int8)
    acc = integer_product(quantized, call.tensors["weight"])
    return (acc * call.tensors["scale"] + call.tensors["bias"],)


SPECS = (
    OperatorSpec("image_to_float", check_image_to_float, run_image_to_float),
    OperatorSpec("patch_conv_u8", check_patch_conv_u8, run_patch_conv_u8),
    OperatorSpec("patch_conv_f32", check_patch_conv_f32, run_patch_conv_f32),
    OperatorSpec("linear_f32", check_linear_f32, run_linear_f32),
    OperatorSpec("linear_i8", check_linear_i8, run_linear_i8),
)
