"""Operators on maps: the rows of a value are the cells of a grid, row-major (BinaryViT, BHViT and other pyramids)."""

from __future__ import annotations

import numpy as np

from bitvit.program.bits import unpack_bits
from bitvit.program.errors import OperandError, OperatorAttributeError
from bitvit.program.operators.binary_products import MAX_BINARY_INPUTS
from bitvit.program.registry import Call, OperatorCheck, OperatorSpec
from bitvit.program.schema import MAX_DIMENSION, AnyArray, Value

MAX_TAPS = 64
MAX_KERNEL = 63


def _grid(c: OperatorCheck, n_rows: int) -> tuple[int, int]:
    """The attribute ``grid`` = [h, w], which must have one cell for each row."""
    grid = c.attribute("grid")
    ok = isinstance(grid, list | tuple) and len(grid) == 2 and all(type(n) is int and n > 0 for n in grid)
    if not ok or grid[0] * grid[1] != n_rows:
        c.fail(OperatorAttributeError, f"attribute 'grid' must be two numbers whose product is {n_rows}")
    return int(grid[0]), int(grid[1])


def _map(call: Call) -> AnyArray:
    """The first input as [h, w, ...]."""
    h, w = call.attrs["grid"]
    x = call.inputs[0]
    return x.reshape(h, w, *x.shape[1:])


def check_stencil(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    _grid(c, n_rows)
    groups = c.attribute("groups")
    if not isinstance(groups, list | tuple) or not groups or n_channels % len(groups):
        c.fail(OperatorAttributeError, f"attribute 'groups' must be a list whose length divides {n_channels}")
    for taps in groups:
        if not isinstance(taps, list | tuple) or not 1 <= len(taps) <= MAX_TAPS:
            c.fail(OperatorAttributeError, f"attribute 'groups' must hold lists of 1 to {MAX_TAPS} taps")
        for tap in taps:
            pair = isinstance(tap, list | tuple) and len(tap) == 2 and all(type(n) is int for n in tap)
            if not pair or max(abs(tap[0]), abs(tap[1])) > MAX_KERNEL:
                c.fail(OperatorAttributeError, f"attribute 'groups': a tap is two integers of at most {MAX_KERNEL}")
    if type(c.attribute("wrap")) is not bool:
        c.fail(OperatorAttributeError, "attribute 'wrap' must be true or false")
    c.integer("divisor", 1, MAX_DIMENSION)
    c.writes(Value("f32", (n_rows, n_channels)))


def _shifted(x: AnyArray, dy: int, dx: int, wrap: bool) -> AnyArray:
    """``out[y, x] = x[y + dy, x + dx]`` of a map [h, w, C], modulo its size or 0 outside."""
    for axis, distance in ((0, dy), (1, dx)):
        if wrap:
            x = np.roll(x, -distance, axis)
            continue
        n = x.shape[axis]
        cells = np.arange(n) + distance
        inside = (cells >= 0) & (cells < n)
        x = np.where(np.expand_dims(inside, [1 - axis, 2]), x.take(cells.clip(0, n - 1), axis), np.float32(0))
    return x


def run_stencil(call: Call) -> tuple[AnyArray]:
    x = _map(call)
    groups, divisor = call.attrs["groups"], call.attrs["divisor"]
    width = x.shape[2] // len(groups)
    y = np.empty_like(x)
    for g, taps in enumerate(groups):
        channels = slice(g * width, (g + 1) * width)
        parts = [_shifted(x[..., channels], dy, dx, call.attrs["wrap"]) for dy, dx in taps]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        y[..., channels] = total / np.float32(divisor) if divisor > 1 else total
    return (y.reshape(call.outputs[0].shape),)


def check_pool(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    h, w = _grid(c, n_rows)
    if c.attribute("kind") not in ("average", "max"):
        c.fail(OperatorAttributeError, "attribute 'kind' must be 'average' or 'max'")
    kernel = c.integer("kernel", 1, MAX_KERNEL)
    stride = c.integer("stride", 1, MAX_KERNEL)
    padding = c.integer("padding", 0, kernel // 2)
    out = [(n + 2 * padding - kernel) // stride + 1 for n in (h, w)]
    if min(out) < 1:
        c.fail(OperatorAttributeError, "the kernel is larger than the padded grid")
    c.writes(Value("f32", (out[0] * out[1], n_channels)))


def run_pool(call: Call) -> tuple[AnyArray]:
    x = _map(call)
    kernel, stride, padding = (call.attrs[name] for name in ("kernel", "stride", "padding"))
    h, w = ((n + 2 * padding - kernel) // stride + 1 for n in x.shape[:2])
    y = np.empty((h * w, x.shape[2]), np.float32)
    for i in range(h * w):
        top, left = i // w * stride - padding, i % w * stride - padding
        window = x[max(top, 0) : top + kernel, max(left, 0) : left + kernel].reshape(-1, x.shape[2])
        result = window[0]
        for cell in window[1:]:
            result = result + cell if call.attrs["kind"] == "average" else np.where(cell > result, cell, result)
        y[i] = result / np.float32(kernel * kernel) if call.attrs["kind"] == "average" else result
    return (y,)


def check_upsample(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", rank=2)
    _grid(c, n_rows)
    factor = c.integer("factor", 1, MAX_KERNEL)
    c.writes(Value("f32", (n_rows * factor * factor, n_channels)))


def run_upsample(call: Call) -> tuple[AnyArray]:
    factor = call.attrs["factor"]
    return (_map(call).repeat(factor, axis=0).repeat(factor, axis=1).reshape(call.outputs[0].shape),)


def check_merge_patches(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "f32", "sign", rank=2)
    h, w = _grid(c, n_rows)
    patch = c.integer("patch", 1, MAX_KERNEL)
    if h % patch or w % patch:
        c.fail(OperatorAttributeError, f"a grid of {h} x {w} cannot be cut into patches of {patch}")
    c.writes(Value(c.inputs[0].type, (n_rows // patch**2, n_channels * patch**2)))


def run_merge_patches(call: Call) -> tuple[AnyArray]:
    x, patch = _map(call), call.attrs["patch"]
    h, w, n_channels = x.shape
    tiles = x.reshape(h // patch, patch, w // patch, patch, n_channels).transpose(0, 2, 1, 3, 4)
    return (np.ascontiguousarray(tiles).reshape(call.outputs[0].shape),)


def check_binary_conv(c: OperatorCheck) -> None:
    c.input_count(1)
    n_rows, n_channels = c.input(0, "sign", rank=2)
    _grid(c, n_rows)
    kernel = c.integer("kernel", 1, MAX_KERNEL)
    if kernel % 2 == 0:
        c.fail(OperatorAttributeError, "attribute 'kernel' must be odd")
    c.integer("dilation", 1, MAX_KERNEL)
    groups = c.integer("groups", 1, n_channels)
    bias = c.floats("bias")
    c.floats("bias", (bias.size,))
    c.floats("scale", (bias.size,))
    if n_channels % groups or bias.size % groups:
        c.fail(OperandError, f"{n_channels} channels to {bias.size} cannot be split into {groups} groups")
    width = n_channels // groups
    if kernel * kernel * width > MAX_BINARY_INPUTS:
        c.fail(OperandError, f"{kernel * kernel * width} inputs of an output, at most {MAX_BINARY_INPUTS} are allowed")
    weight = c.parameter("weight", np.uint8, (bias.size, kernel * kernel, (width + 7) // 8))
    c.require(not (width % 8) or not (weight[..., -1] >> (width % 8)).any(), "parameter 'weight' has 1 bits in padding")
    c.writes(Value("f32", (n_rows, bias.size)))


def _overlap(n: int, distance: int) -> tuple[slice, slice]:
    """The cells i of 0..n-1 for which i + distance is one of them too, and those i + distance."""
    first, last = max(0, -distance), min(n, n - distance)
    if first >= last:
        return slice(0, 0), slice(0, 0)
    return slice(first, last), slice(first + distance, last + distance)


def run_binary_conv(call: Call) -> tuple[AnyArray]:
    x = _map(call)
    h, w, n_channels = x.shape
    kernel, dilation, groups = (call.attrs[name] for name in ("kernel", "dilation", "groups"))
    width = n_channels // groups
    weight = 1.0 - 2.0 * unpack_bits(call.tensors["weight"], width).astype(np.float64)
    n_outputs = len(weight) // groups
    signs = 1.0 - 2.0 * x.astype(np.float64)
    z = np.zeros((h, w, len(weight)))  # exact: small integers
    for tap in range(kernel * kernel):
        rows, source_rows = _overlap(h, (tap // kernel - kernel // 2) * dilation)
        columns, source_columns = _overlap(w, (tap % kernel - kernel // 2) * dilation)
        part = signs[source_rows, source_columns]
        for g in range(groups):
            outputs = slice(g * n_outputs, (g + 1) * n_outputs)
            z[rows, columns, outputs] += part[..., g * width : (g + 1) * width] @ weight[outputs, tap].T
    y = z.reshape(h * w, -1).astype(np.float32) * call.tensors["scale"] + call.tensors["bias"]
    return (y,)


SPECS = (
    OperatorSpec("stencil", check_stencil, run_stencil),
    OperatorSpec("pool", check_pool, run_pool),
    OperatorSpec("upsample", check_upsample, run_upsample),
    OperatorSpec("merge_patches", check_merge_patches, run_merge_patches),
    OperatorSpec("binary_conv", check_binary_conv, run_binary_conv),
)
