"""The operators on grids a second time, in loops over single numbers, written from ``docs/format.md`` alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitvit.program.schema import AnyArray

from .operator_bases import OperatorCase

F = np.float32
ZERO = F(0)


def _empty(c: OperatorCase) -> AnyArray:
    return np.empty(c.output_values[0].shape, c.inputs[0].dtype)


def _in_order(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def stencil(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), out = c.inputs, c.attrs["grid"], _empty(c)
    width = x.shape[1] // len(c.attrs["groups"])
    for n, channel in np.ndindex(*out.shape):
        values = []
        for dy, dx in c.attrs["groups"][channel // width]:
            y, column = n // w + dy, n % w + dx
            if c.attrs["wrap"]:
                values.append(x[y % h * w + column % w, channel])
            else:
                values.append(x[y * w + column, channel] if 0 <= y < h and 0 <= column < w else ZERO)
        total, divisor = _in_order(values), c.attrs["divisor"]
        out[n, channel] = total / F(divisor) if divisor > 1 else total
    return [out]


def pool(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), out = c.inputs, c.attrs["grid"], _empty(c)
    kernel, stride, padding = (c.attrs[name] for name in ("kernel", "stride", "padding"))
    columns = (w + 2 * padding - kernel) // stride + 1
    for n, channel in np.ndindex(*out.shape):
        top, left = n // columns * stride - padding, n % columns * stride - padding
        cells = [(y, z) for y in range(top, top + kernel) for z in range(left, left + kernel)]
        values = [x[y * w + z, channel] for y, z in cells if 0 <= y < h and 0 <= z < w]
        if c.attrs["kind"] == "average":
            out[n, channel] = _in_order(values) / F(kernel * kernel)
        else:
            out[n, channel] = max(values)  # Python's max keeps the first of equals
    return [out]


def upsample(c: OperatorCase) -> list[AnyArray]:
    (x,), (_, w), factor, out = c.inputs, c.attrs["grid"], c.attrs["factor"], _empty(c)
    for n in range(len(out)):
        y, column = divmod(n, w * factor)
        out[n] = x[y // factor * w + column // factor]
    return [out]


def merge_patches(c: OperatorCase) -> list[AnyArray]:
    (x,), (_, w), patch, out = c.inputs, c.attrs["grid"], c.attrs["patch"], _empty(c)
    for n in range(len(out)):
        y, column = divmod(n, w // patch)
        cells = [(y * patch + dy, column * patch + dx) for dy in range(patch) for dx in range(patch)]
        out[n] = [value for row, place in cells for value in x[row * w + place]]
    return [out]


def binary_conv(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), weight = c.inputs, c.attrs["grid"], c.tensors["weight"]
    kernel, dilation = c.attrs["kernel"], c.attrs["dilation"]
    out = np.empty(c.output_values[0].shape, F)
    width, n_outputs = x.shape[1] // c.attrs["groups"], len(weight) // c.attrs["groups"]
    for n, o in np.ndindex(*out.shape):
        first = o // n_outputs * width
        z = 0
        for tap in range(kernel * kernel):
            y = n // w + (tap // kernel - kernel // 2) * dilation
            column = n % w + (tap % kernel - kernel // 2) * dilation
            if 0 <= y < h and 0 <= column < w:
                packed = int.from_bytes(weight[o, tap].tobytes(), "little")
                cell = x[y * w + column, first : first + width]
                z += sum(-1 if bool(bit) != bool(packed >> i & 1) else 1 for i, bit in enumerate(cell))
        out[n, o] = F(z) * c.tensors["scale"][o] + c.tensors["bias"][o]
    return [out]


def gather_rows(c: OperatorCase) -> list[AnyArray]:
    return [np.array([c.inputs[0][int(i)] for i in c.tensors["index"]])]


def repeat_channels(c: OperatorCase) -> list[AnyArray]:
    return [np.array([list(row) * c.attrs["times"] for row in c.inputs[0]])]


def mean_channels(c: OperatorCase) -> list[AnyArray]:
    (x,), group, out = c.inputs, c.attrs["group"], _empty(c)
    for n, o in np.ndindex(*out.shape):
        out[n, o] = _in_order(list(x[n, o * group : (o + 1) * group])) / F(group)
    return [out]


def reshape_rows(c: OperatorCase) -> list[AnyArray]:
    out = _empty(c)
    for i, value in enumerate(c.inputs[0].flat):
        out[divmod(i, out.shape[1])] = value
    return [out]


def windows_to_heads(c: OperatorCase) -> list[AnyArray]:
    (x,), windows, out = c.inputs, c.attrs["windows"], _empty(c)
    n, width = len(x) // windows, x.shape[1]
    for window in range(windows):
        for i in range(n):
            out[i, window * width : (window + 1) * width] = x[window * n + i]
    return [out]


def heads_to_windows(c: OperatorCase) -> list[AnyArray]:
    (x,), windows, out = c.inputs, c.attrs["windows"], _empty(c)
    for window in range(windows):
        for i in range(len(x)):
            out[window * len(x) + i] = x[i, window * out.shape[1] : (window + 1) * out.shape[1]]
    return [out]


GRID_LOOPS = {
    function.__name__: function
    for function in (
        stencil,
        pool,
        upsample,
        merge_patches,
        binary_conv,
        gather_rows,
        repeat_channels,
        mean_channels,
        reshape_rows,
        windows_to_heads,
        heads_to_windows,
    )
}
