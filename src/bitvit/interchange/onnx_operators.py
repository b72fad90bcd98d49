"""Every operator of ``docs/format.md`` as plain ONNX operators on floats: ``write_<operator>(graph, call)``.

Sign bits are +1 and -1, mask bits 1 and 0, ternary values -1, 0 and 1. Products of them are exact in binary32 as long
as sums stay below 2^24. Sums of other floats may be taken in another order than the engine's, so a comparison with a
threshold can fall the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitvit.interchange.onnx_graph import OnnxGraph
from bitvit.program import unpack_bits
from bitvit.program.schema import AnyArray, Value

__all__ = ["OnnxCall", "writers"]

Outputs = Sequence[str]


@dataclass(frozen=True)
class OnnxCall:
    """One operator: names and types of its inputs, attributes, parameters, and the types of its outputs."""

    inputs: tuple[str, ...]
    input_values: tuple[Value, ...]
    attrs: Mapping[str, Any]
    tensors: Mapping[str, AnyArray]
    outputs: tuple[Value, ...]

    @property
    def x(self) -> str:
        """The first input."""
        return self.inputs[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first input."""
        return self.input_values[0].shape

    @property
    def out(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self.outputs[0].shape

    def signs(self, length: int) -> AnyArray:
        """The binary weights as +1 and -1, [..., length]."""
        signs: AnyArray = 1 - 2 * unpack_bits(self.tensors["weight"], length).astype(np.float32)
        return signs


def writers() -> dict[str, Callable[[OnnxGraph, OnnxCall], Outputs]]:
    """All writers by the operator's name."""
    return {name.removeprefix("write_"): value for name, value in globals().items() if name.startswith("write_")}


def _bits(g: OnnxGraph, condition: str, value: Value) -> str:
    """The numbers of bits: -1 where a sign bit is 1, 1 where a mask bit is 1; in heads, if the value is."""
    numbers = g.choose(condition, -1.0, 1.0) if value.type == "sign" else g.choose(condition, 1.0, 0.0)
    return g.shape(numbers, value.shape)


# Image and 8-bit ends


def write_image_to_float(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.affine(c.x, c.tensors["mul"], c.tensors["add"])]


def write_patch_conv_u8(g: OnnxGraph, c: OnnxCall) -> Outputs:
    weight, scale, bias = (c.tensors[name] for name in ("weight", "scale", "bias"))
    patch, n_rows = c.attrs["patch"], c.out[0]
    y = ""
    for channel in range(c.shape[2]):
        plane = g.node("Transpose", g.slice(c.x, 2, channel, channel + 1), perm=[0, 3, 1, 2])
        kernel = g.constant(weight[..., channel][:, None])
        acc = g.to_rows(g.node("Conv", plane, kernel, strides=[patch, patch]), len(weight), n_rows)
        term = g.node("Mul", acc, g.constant(scale[:, channel]))
        y = g.node("Add", y or g.constant(bias), term)
    return [y]


def write_patch_conv_f32(g: OnnxGraph, c: OnnxCall) -> Outputs:
    weight, patch = c.tensors["weight"], c.attrs["patch"]
    image = g.node("Transpose", c.x, perm=[0, 3, 1, 2])
    kernel = g.constant(weight.transpose(0, 3, 1, 2))
    y = g.node("Conv", image, kernel, g.constant(c.tensors["bias"]), strides=[patch, patch])
    return [g.to_rows(y, len(weight), c.out[0])]


def write_linear_f32(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Add", g.node("MatMul", c.x, g.constant(c.tensors["weight"].T)), g.constant(c.tensors["bias"]))]


def write_linear_i8(g: OnnxGraph, c: OnnxCall) -> Outputs:
    shifted = g.node("Add", c.x, g.constant(c.tensors["shift"]))
    levels = g.node("Round", g.node("Div", shifted, g.constant(c.tensors["step"])))
    levels = g.node("Clip", levels, g.constant(-128.0), g.constant(127.0))
    acc = g.node("MatMul", levels, g.constant(c.tensors["weight"].T))
    return [g.affine(acc, c.tensors["scale"], c.tensors["bias"])]


# Element-wise and rows


def write_constant(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.for_each_image(c.tensors["value"])]


def write_concat_rows(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Concat", *c.inputs, axis=1)]


def write_slice_rows(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.slice(c.x, 0, c.attrs["start"], c.attrs["stop"])]


def write_add(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Add", *c.inputs)]


def write_add_constant(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Add", c.x, g.constant(c.tensors["value"]))]


def write_affine(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.affine(c.x, c.tensors["scale"], c.tensors["bias"])]


def write_mean_rows(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.reduce("ReduceMean", c.x, [0])]


def write_gelu(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Gelu", c.x)]


def write_rprelu(g: OnnxGraph, c: OnnxCall) -> Outputs:
    t = g.node("Sub", c.x, g.constant(c.tensors["before"]))
    is_negative = g.node("Less", t, g.constant(0.0))
    bent = g.choose(is_negative, g.node("Mul", t, g.constant(c.tensors["slope"])), t)
    return [g.node("Add", bent, g.constant(c.tensors["after"]))]


def write_layer_norm(g: OnnxGraph, c: OnnxCall) -> Outputs:
    parameters = (g.constant(c.tensors[name]) for name in ("weight", "bias"))
    return [g.node("LayerNormalization", c.x, *parameters, axis=-1, epsilon=float(c.attrs["eps"]))]


def write_scale_by(g: OnnxGraph, c: OnnxCall) -> Outputs:
    index = c.attrs["index"]
    return [g.node("Mul", c.x, g.per_image(g.slice(c.inputs[1], 0, index, index + 1), 2))]


def write_repeat_channels(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Tile", c.x, g.constant([1, 1, c.attrs["times"]], np.int64))]


def write_mean_channels(g: OnnxGraph, c: OnnxCall) -> Outputs:
    groups = g.shape(c.x, [*c.out, c.attrs["group"]])
    return [g.reduce("ReduceMean", groups, [2], keep=False)]


def write_argmax_channels(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.node("Cast", g.node("ArgMax", c.x, axis=2, keepdims=0), to=6)]  # 6: int32


def write_reshape_rows(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.shape(c.x, c.out)]


def write_gather_rows(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [g.gather(c.x, 0, c.tensors["index"])]


def write_windows_to_heads(g: OnnxGraph, c: OnnxCall) -> Outputs:
    windows = c.attrs["windows"]
    rest = list(c.shape[1:])
    x = g.shape(c.x, [windows, c.shape[0] // windows, *rest])
    x = g.node("Transpose", x, perm=[0, 2, 1, *range(3, 3 + len(rest))])
    return [g.shape(x, c.out)]


def write_heads_to_windows(g: OnnxGraph, c: OnnxCall) -> Outputs:
    windows = c.attrs["windows"]
    x = g.shape(c.x, [c.shape[0], windows, c.shape[1] // windows])
    return [g.shape(g.node("Transpose", x, perm=[0, 2, 1, 3]), c.out)]


# To bits


def write_sign(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [_bits(g, g.node("Less", c.x, g.constant(c.tensors["threshold"])), c.outputs[0])]


def write_mask(g: OnnxGraph, c: OnnxCall) -> Outputs:
    return [_bits(g, g.node("Greater", c.x, g.constant(c.tensors["threshold"])), c.outputs[0])]


def write_layer_norm_sign(g: OnnxGraph, c: OnnxCall) -> Outputs:
    scaled = g.node("LayerNormalization", c.x, g.constant(c.tensors["weight"]), axis=-1, epsilon=float(c.attrs["eps"]))
    return [_bits(g, g.node("Less", scaled, g.constant(c.tensors["threshold"])), c.outputs[0])]


def write_statistics(g: OnnxGraph, c: OnnxCall) -> Outputs:
    means = [g.reduce("ReduceMean", x, [0, 1]) for x in (c.x, g.node("Abs", c.x))]
    return [g.shape(g.node("Concat", *means, axis=1), [2])]


def write_sign_statistics(g: OnnxGraph, c: OnnxCall) -> Outputs:
    mean = g.per_image(g.slice(c.inputs[1], 0, 0, 1), 2)
    return [_bits(g, g.node("Less", c.x, mean), c.outputs[0])]


def write_mask_statistics(g: OnnxGraph, c: OnnxCall) -> Outputs:
    mean, magnitude = (g.per_image(g.slice(c.inputs[1], 0, i, i + 1), 2) for i in (0, 1))
    limit = g.node("Mul", g.constant(0.5), magnitude)
    return [_bits(g, g.node("Greater", g.node("Sub", c.x, mean), limit), c.outputs[0])]


# Binary products


def write_binary_linear(g: OnnxGraph, c: OnnxCall) -> Outputs:
    z = g.node("MatMul", c.x, g.constant(c.signs(c.shape[1]).T))
    return [g.affine(z, c.tensors["scale"], c.tensors["bias"])]


def write_binary_linear_threshold(g: OnnxGraph, c: OnnxCall) -> Outputs:
    weight = c.signs(c.shape[1])
    z = g.node("MatMul", c.x, g.constant(weight.T))
    if c.input_values[0].type == "mask":
        p = g.node("Add", z, g.constant((weight < 0).sum(-1)))
    else:
        p = g.node("Mul", g.node("Sub", g.constant(float(c.shape[1])), z), g.constant(0.5))
    low = g.node("GreaterOrEqual", p, g.constant(c.tensors["low"]))
    high = g.node("LessOrEqual", p, g.constant(c.tensors["high"]))
    flip = g.constant(c.tensors["flip"] == 1, np.bool_)
    return [_bits(g, g.node("Xor", g.node("And", low, high), flip), c.outputs[0])]


def write_binary_conv(g: OnnxGraph, c: OnnxCall) -> Outputs:
    kernel, dilation, groups = (c.attrs[name] for name in ("kernel", "dilation", "groups"))
    weight = c.signs(c.shape[1] // groups)
    kernels = weight.reshape(len(weight), kernel, kernel, -1).transpose(0, 3, 1, 2)
    x = g.to_map(c.x, c.attrs["grid"], c.shape[1])
    padding = kernel // 2 * dilation
    z = g.node("Conv", x, g.constant(kernels), group=groups, dilations=[dilation, dilation], pads=[padding] * 4)
    return [g.affine(g.to_rows(z, len(weight), c.out[0]), c.tensors["scale"], c.tensors["bias"])]


# Attention


def _attention_weights(g: OnnxGraph, c: OnnxCall) -> str:
    """Softmax over the keys, by the table: q [N, H, D], k [M, H, D] -> [H, N, M]."""
    q = g.node("Transpose", c.inputs[0], perm=[0, 2, 1, 3])
    k = g.node("Transpose", c.inputs[1], perm=[0, 2, 3, 1])
    width = float(c.shape[2])
    differing = g.node("Mul", g.node("Sub", g.constant(width), g.node("MatMul", q, k)), g.constant(0.5))
    distance = g.node("Sub", differing, g.reduce("ReduceMin", differing, [2]))
    e = g.node("Gather", g.constant(c.tensors["table"]), g.node("Cast", distance, to=7), axis=0)  # 7: int64
    return g.node("Mul", e, g.node("Div", g.constant(1.0), g.reduce("ReduceSum", e, [2])))


def write_attention_masks(g: OnnxGraph, c: OnnxCall) -> Outputs:
    a = _attention_weights(g, c)
    offset = c.tensors.get("offset")
    if offset is not None:
        if offset.dtype == np.int8:
            offset = offset.astype(np.float32) * c.tensors["offset_scale"][:, None, None]
        a = g.node("Sub", a, g.constant(offset[..., None] if offset.ndim == 2 else offset))
    planes = []
    for i, (kind, *numbers) in enumerate(c.attrs["planes"]):
        if kind == "ones":
            planes.append(g.choose(g.node("Equal", a, a), 1.0, 1.0))
            continue
        if kind in ("row_max", "image_max"):
            largest = g.reduce("ReduceMax", a, [2] if kind == "row_max" else [0, 1, 2])
            limit = g.node("Mul", g.constant(float(numbers[0])), largest)
        else:
            limit = g.constant(c.tensors["thresholds"][i][:, None, None])
        planes.append(g.choose(g.node("GreaterOrEqual" if kind == "at_least" else "Greater", a, limit), 1.0, 0.0))
    return [g.stack(planes)]


def write_attention_masks_statistics(g: OnnxGraph, c: OnnxCall) -> Outputs:
    a, everything = _attention_weights(g, c), [0, 1, 2]
    half = g.constant(0.5)
    gamma = g.reduce("ReduceMean", a, everything)
    if c.attrs["phase"] == 2:
        is_large = g.choose(g.node("Greater", a, half), 1.0, 0.0)
        count = g.reduce("ReduceSum", is_large, everything)
        total = g.reduce("ReduceSum", g.node("Mul", a, is_large), everything)
        large = g.node("Div", total, g.node("Max", count, g.constant(1.0)))
        above = g.choose(g.node("Greater", a, g.node("Mul", half, large)), 1.0, 0.0)
        enough = g.node(
            "GreaterOrEqual", g.reduce("ReduceSum", above, everything), g.constant(float(c.attrs["patches"]))
        )
        some = g.node("Greater", count, g.constant(0.0))
        gamma = g.choose(g.node("And", enough, some), large, gamma)
    mask = g.choose(g.node("Greater", a, g.node("Mul", half, gamma)), 1.0, 0.0)
    return [g.shape(mask, c.out), g.shape(gamma, [1])]


def write_value_planes(g: OnnxGraph, c: OnnxCall) -> Outputs:
    _, n_heads, width, n_keys = c.out
    v = c.x
    if len(c.inputs) == 2:
        v = g.node("Sub", v, g.per_image(g.slice(c.inputs[1], 0, 0, 1), 2))
    by_head = g.node("Transpose", g.shape(v, [n_keys, n_heads, width]), perm=[0, 2, 3, 1])
    sign = g.choose(g.node("Less", by_head, g.constant(0.0)), -1.0, 1.0)
    planes = [sign]
    thresholds = c.tensors.get("thresholds")
    if thresholds is None:
        largest, smallest = (g.reduce(kind, by_head, [0, 1, 2]) for kind in ("ReduceMax", "ReduceMin"))
    for i, factor in enumerate(map(np.float32, c.attrs["factors"])):
        if thresholds is None:
            upper, lower = (g.node("Mul", g.constant(factor), limit) for limit in (largest, smallest))
        else:
            t = (factor * thresholds[i])[:, None, None]
            upper, lower = g.constant(t), g.constant(-t)
        above, below = g.node("Greater", by_head, upper), g.node("Less", by_head, lower)
        planes.append(g.choose(g.node("Or", above, below), sign, 0.0))
    return [g.stack(planes)]


def write_value_product(g: OnnxGraph, c: OnnxCall) -> Outputs:
    row_scale, column_scale = c.tensors["row_scale"], c.tensors["column_scale"]
    turned = [g.node("Transpose", g.part(c.inputs[1], j), perm=[0, 1, 3, 2]) for j in range(c.input_values[1].shape[0])]
    y = ""
    for i in range(c.shape[0]):
        mask, r = g.part(c.x, i), ""
        for j, plane in enumerate(turned):
            term = g.node("Mul", g.constant(float(column_scale[j])), g.node("MatMul", mask, plane))
            r = g.node("Add", r, term) if r else term
        scaled = g.node("Mul", g.constant(row_scale[i][:, None, None]), r)
        y = g.node("Add", y, scaled) if y else scaled
    return [g.shape(g.node("Transpose", y, perm=[0, 2, 1, 3]), c.out)]


# Grids


def write_stencil(g: OnnxGraph, c: OnnxCall) -> Outputs:
    h, w = c.attrs["grid"]
    groups, divisor = c.attrs["groups"], c.attrs["divisor"]
    width = c.shape[1] // len(groups)
    # One row of zeros behind the others stands for all cells outside the grid.
    pads = g.constant([0, 0, 0, 0, 1, 0], np.int64)
    x = c.x if c.attrs["wrap"] else g.node("Pad", c.x, pads, g.constant(0.0))
    parts = []
    for i, taps in enumerate(groups):
        channels = g.slice(x, 1, i * width, (i + 1) * width) if len(groups) > 1 else x
        total = ""
        for dy, dx in taps:
            rows, columns = np.meshgrid(np.arange(h) + dy, np.arange(w) + dx, indexing="ij")
            inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
            index = (rows % h) * w + columns % w
            moved = g.gather(channels, 0, (index if c.attrs["wrap"] else np.where(inside, index, h * w)).reshape(-1))
            total = g.node("Add", total, moved) if total else moved
        parts.append(g.node("Div", total, g.constant(float(divisor))) if divisor > 1 else total)
    return [g.node("Concat", *parts, axis=2) if len(parts) > 1 else parts[0]]


def write_pool(g: OnnxGraph, c: OnnxCall) -> Outputs:
    kernel, stride, padding = (c.attrs[name] for name in ("kernel", "stride", "padding"))
    x = g.to_map(c.x, c.attrs["grid"], c.shape[1])
    common = {"kernel_shape": [kernel, kernel], "strides": [stride, stride], "pads": [padding] * 4}
    if c.attrs["kind"] == "average":
        y = g.node("AveragePool", x, count_include_pad=1, **common)
    else:
        y = g.node("MaxPool", x, **common)
    return [g.to_rows(y, c.shape[1], c.out[0])]


def write_upsample(g: OnnxGraph, c: OnnxCall) -> Outputs:
    (h, w), factor = c.attrs["grid"], c.attrs["factor"]
    cells = np.arange(h * w).reshape(h, w)
    return [g.gather(c.x, 0, cells.repeat(factor, axis=0).repeat(factor, axis=1).reshape(-1))]


def write_resize_bilinear(g: OnnxGraph, c: OnnxCall) -> Outputs:
    x = g.to_map(c.x, c.attrs["grid"], c.shape[1])
    scales = [1.0, 1.0, *(new / old for new, old in zip(c.attrs["size"], c.attrs["grid"], strict=True))]
    y = g.node("Resize", x, "", g.constant(scales), mode="linear", coordinate_transformation_mode="half_pixel")
    return [g.to_rows(y, c.shape[1], c.out[0])]


def write_merge_patches(g: OnnxGraph, c: OnnxCall) -> Outputs:
    (h, w), patch = c.attrs["grid"], c.attrs["patch"]
    x = g.shape(c.x, [h // patch, patch, w // patch, patch, c.shape[1]])
    return [g.shape(g.node("Transpose", x, perm=[0, 1, 3, 2, 4, 5]), c.out)]
