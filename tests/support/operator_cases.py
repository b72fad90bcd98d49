"""Random valid uses of every operator: sizes that straddle words, ties at thresholds, zeros and extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray

from .grid_cases import GRID_CASES
from .operator_bases import WIDTHS, OperatorCase, Rng, bits, exponential_table, f32, positive, weight_bits


def _width(rng: Rng) -> int:
    return int(rng.choice(WIDTHS))


def _rows(rng: Rng) -> int:
    return int(rng.choice([1, 2, 3, 5, 7, 8, 13, 17, 20]))


def _heads(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(1, 5)), int(rng.choice([1, 3, 4, 8, 12, 16, 31, 32, 33, 64, 65]))


def _split(rng: Rng, n_rows: int, n_channels: int) -> tuple[int, ...]:
    """[N, C], or [N, H, D] with a random split of the channels."""
    divisors = [h for h in range(1, n_channels + 1) if n_channels % h == 0]
    heads = int(rng.choice(divisors))
    return (n_rows, n_channels) if rng.random() < 0.5 else (n_rows, heads, n_channels // heads)


def image_to_float(rng: Rng) -> OperatorCase:
    shape = (_rows(rng), _rows(rng), 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    tensors = {"mul": f32(rng, 3), "add": f32(rng, 3)}
    return OperatorCase("image_to_float", [image], [Value("u8", shape)], [Value("f32", shape)], {}, tensors)


def patch_conv_u8(rng: Rng) -> OperatorCase:
    patch, rows, columns, n_outputs = (
        int(rng.choice([1, 2, 3, 4, 16])),
        *(int(rng.integers(1, 4)) for _ in "hw"),
        _width(rng),
    )
    shape = (rows * patch, columns * patch, 3)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    if rng.random() < 0.2:
        image[:] = 255
    weight = rng.integers(-128, 128, (n_outputs, patch, patch, 3), dtype=np.int8)
    if rng.random() < 0.2:
        weight[:] = -128
    tensors = {"weight": weight, "scale": f32(rng, n_outputs, 3), "bias": f32(rng, n_outputs)}
    output = Value("f32", (rows * columns, n_outputs))
    return OperatorCase("patch_conv_u8", [image], [Value("u8", shape)], [output], {"patch": patch}, tensors)


def patch_conv_f32(rng: Rng) -> OperatorCase:
    patch, channels, n_outputs = int(rng.integers(1, 5)), int(rng.integers(1, 5)), _width(rng)
    rows, columns = (int(rng.integers(1, 4)) for _ in "hw")
    shape = (rows * patch, columns * patch, channels)
    tensors = {"weight": f32(rng, n_outputs, patch, patch, channels), "bias": f32(rng, n_outputs)}
    output = Value("f32", (rows * columns, n_outputs))
    return OperatorCase(
        "patch_conv_f32", [f32(rng, *shape)], [Value("f32", shape)], [output], {"patch": patch}, tensors
    )


def linear_f32(rng: Rng) -> OperatorCase:
    n, k, o = _rows(rng), _width(rng), _width(rng)
    tensors = {"weight": f32(rng, o, k), "bias": f32(rng, o)}
    return OperatorCase("linear_f32", [f32(rng, n, k)], [Value("f32", (n, k))], [Value("f32", (n, o))], {}, tensors)


def linear_i8(rng: Rng) -> OperatorCase:
    n, k, o = _rows(rng), _width(rng), _width(rng)
    step = rng.choice([0.125, 0.0137, 0.001]).astype(np.float32).reshape(1)  # halves to round, ordinary, mostly clamped
    tensors = {
        "shift": f32(rng, k),
        "step": step,
        "weight": rng.integers(-128, 128, (o, k), dtype=np.int8),
        "scale": f32(rng, o),
        "bias": f32(rng, o),
    }
    x = f32(rng, n, k)
    x = np.where(rng.random((n, k)) < 0.3, np.round(x * 16) / 16, x).astype(np.float32)
    return OperatorCase("linear_i8", [x], [Value("f32", (n, k))], [Value("f32", (n, o))], {}, tensors)


def constant(rng: Rng) -> OperatorCase:
    value = f32(rng, _rows(rng), _width(rng))
    return OperatorCase("constant", [], [], [Value("f32", value.shape)], {}, {"value": value})


def concat_rows(rng: Rng) -> OperatorCase:
    c = _width(rng)
    inputs = [f32(rng, _rows(rng), c) for _ in range(int(rng.integers(1, 5)))]
    output = Value("f32", (sum(len(x) for x in inputs), c))
    return OperatorCase("concat_rows", inputs, [Value("f32", x.shape) for x in inputs], [output])


def slice_rows(rng: Rng) -> OperatorCase:
    n, c = _rows(rng), _width(rng)
    stop = int(rng.integers(1, n + 1))
    start = int(rng.integers(0, stop))
    output = Value("f32", (stop - start, c))
    attrs = {"start": start, "stop": stop}
    type = str(rng.choice(["f32", "sign", "mask"]))
    if type == "f32":
        return OperatorCase("slice_rows", [f32(rng, n, c)], [Value("f32", (n, c))], [output], attrs)
    shape = _split(rng, n, c)
    output = Value(type, (stop - start, *shape[1:]))
    return OperatorCase("slice_rows", [bits(rng, *shape)], [Value(type, shape)], [output], attrs)


def add(rng: Rng) -> OperatorCase:
    shape = (_rows(rng), _width(rng))
    return OperatorCase("add", [f32(rng, *shape), f32(rng, *shape)], [Value("f32", shape)] * 2, [Value("f32", shape)])


def _one_to_one(rng: Rng, kind: str, attrs: dict[str, Any], *names: str) -> OperatorCase:
    n, c = _rows(rng), _width(rng)
    value = Value("f32", (n, c))
    return OperatorCase(kind, [f32(rng, n, c)], [value], [value], attrs, {name: f32(rng, c) for name in names})


def add_constant(rng: Rng) -> OperatorCase:
    case = _one_to_one(rng, "add_constant", {})
    shape = case.inputs[0].shape
    case.tensors["value"] = f32(rng, *(shape if rng.random() < 0.5 else shape[1:]))
    return case


def affine(rng: Rng) -> OperatorCase:
    return _one_to_one(rng, "affine", {}, "scale", "bias")


def mean_rows(rng: Rng) -> OperatorCase:
    n, c = _rows(rng), _width(rng)
    return OperatorCase("mean_rows", [f32(rng, n, c)], [Value("f32", (n, c))], [Value("f32", (1, c))])


def gelu(rng: Rng) -> OperatorCase:
    case = _one_to_one(rng, "gelu", {})
    case.inputs[0] = case.inputs[0] * rng.choice([1e-20, 0.01, 1.0, 3.0, 10.0, 1e4]).astype(np.float32)
    return case


def rprelu(rng: Rng) -> OperatorCase:
    return _one_to_one(rng, "rprelu", {}, "before", "slope", "after")


def _eps(rng: Rng) -> float:
    return float(rng.choice([1e-12, 1e-6, 1e-5]))


def layer_norm(rng: Rng) -> OperatorCase:
    return _one_to_one(rng, "layer_norm", {"eps": _eps(rng)}, "weight", "bias")


def _to_bits(rng: Rng, kind: str, type: str, attrs: dict[str, Any], *names: str) -> OperatorCase:
    case = _one_to_one(rng, kind, attrs, *names)
    n, c = case.inputs[0].shape
    case.output_values = [Value(type, _split(rng, n, c))]  # type: ignore[arg-type]
    return case


def sign(rng: Rng) -> OperatorCase:
    return _to_bits(rng, "sign", "sign", {}, "threshold")


def mask(rng: Rng) -> OperatorCase:
    return _to_bits(rng, "mask", "mask", {}, "threshold")


def layer_norm_sign(rng: Rng) -> OperatorCase:
    case = _to_bits(rng, "layer_norm_sign", "sign", {"eps": _eps(rng)}, "weight", "threshold")
    if rng.random() < 0.2:
        case.inputs[0][0] = 1.25  # a row without variance
    return case


def binary_linear(rng: Rng) -> OperatorCase:
    n, k, o = _rows(rng), _width(rng), _width(rng)
    type = str(rng.choice(["sign", "mask"]))
    tensors = {"weight": weight_bits(rng, o, k), "scale": f32(rng, o), "bias": f32(rng, o)}
    return OperatorCase("binary_linear", [bits(rng, n, k)], [Value(type, (n, k))], [Value("f32", (n, o))], {}, tensors)


def binary_linear_threshold(rng: Rng) -> OperatorCase:
    n, k, o = _rows(rng), _width(rng), _width(rng)
    low = rng.integers(-2, k + 3, o)
    high = low + rng.integers(-2, k + 3, o)
    tensors = {
        "weight": weight_bits(rng, o, k),
        "low": np.where(rng.random(o) < 0.3, -(1 << 15), low).astype(np.int16),
        "high": np.where(rng.random(o) < 0.3, (1 << 15) - 1, high).astype(np.int16),
        "flip": rng.integers(0, 2, o, dtype=np.uint8),
    }
    output = Value(str(rng.choice(["sign", "mask"])), _split(rng, n, o))
    return OperatorCase(
        "binary_linear_threshold",
        [bits(rng, n, k)],
        [Value(str(rng.choice(["sign", "mask"])), (n, k))],
        [output],
        {},
        tensors,
    )


def _queries_and_keys(rng: Rng) -> tuple[list[AnyArray], list[Value], int, int, int, int]:
    n, m = (int(size) for size in rng.choice([1, 2, 5, 16, 17, 26, 66], 2))
    heads, width = _heads(rng)
    inputs = [bits(rng, n, heads, width), bits(rng, m, heads, width)]
    return inputs, [Value("sign", x.shape) for x in inputs], heads, n, m, width


def attention_masks(rng: Rng) -> OperatorCase:
    inputs, values, heads, n, m, width = _queries_and_keys(rng)
    rules: list[list[Any]] = [["greater"], ["at_least"], ["ones"], ["row_max", 0.7], ["row_max", 0.9], ["row_max", 1]]
    rules += [["image_max", 0.7], ["image_max", 1]]
    planes = [rules[int(i)] for i in rng.integers(0, len(rules), int(rng.integers(1, 5)))]
    tensors = {"table": exponential_table(rng, width)}
    if any(rule[0] in ("greater", "at_least") for rule in planes):
        tensors["thresholds"] = (rng.random((len(planes), heads)) / m).astype(np.float32)
        if rng.random() < 0.3:
            tensors["thresholds"][:] = np.float32(1) / np.float32(m)  # what equal scores give: a tie
    offset = rng.choice(["none", "row", "full", "int8"])
    if offset == "row":
        tensors["offset"] = f32(rng, heads, n) / np.float32(8 * m)
    elif offset == "full":
        tensors["offset"] = f32(rng, heads, n, m) / np.float32(8 * m)
    elif offset == "int8":
        tensors["offset"] = rng.integers(-128, 128, (heads, n, m), dtype=np.int8)
        tensors["offset_scale"] = positive(rng, heads) / np.float32(256 * m)
    output = Value("mask", (len(planes), heads, n, m))
    return OperatorCase("attention_masks", inputs, values, [output], {"planes": planes}, tensors)


def value_planes(rng: Rng) -> OperatorCase:
    m, (heads, width) = _rows(rng), _heads(rng)
    factors = [0.7, 0.9, 0.5, 1.0][: int(rng.integers(0, 5))]
    inputs = [f32(rng, m, heads * width)]
    if rng.random() < 0.3:
        inputs[0] = np.abs(inputs[0])  # no negative value: the lower threshold lies above zero
    if rng.random() < 0.4:
        inputs.append(f32(rng, 2))
    output = Value("ternary", (len(factors) + 1, heads, width, m))
    return OperatorCase("value_planes", inputs, [Value("f32", x.shape) for x in inputs], [output], {"factors": factors})


def value_product(rng: Rng) -> OperatorCase:
    n, m = (int(size) for size in rng.choice([1, 2, 7, 8, 17, 33, 66], 2))
    heads, width = _heads(rng)
    n_masks, n_planes = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    masks = np.stack([bits(rng, heads, n, m) for _ in range(n_masks)])
    planes = rng.integers(-1, 2, (n_planes, heads, width, m)).astype(np.int8)
    planes[0] = np.where(planes[0] == 0, 1, planes[0])
    tensors = {"row_scale": positive(rng, n_masks, heads), "column_scale": positive(rng, n_planes)}
    return OperatorCase(
        "value_product",
        [masks, planes],
        [Value("mask", masks.shape), Value("ternary", planes.shape)],
        [Value("f32", (n, heads * width))],
        {},
        tensors,
    )


def statistics(rng: Rng) -> OperatorCase:
    shape = (_rows(rng), _width(rng))
    return OperatorCase("statistics", [f32(rng, *shape)], [Value("f32", shape)], [Value("f32", (2,))])


def _with_statistics(rng: Rng, kind: str, type: str) -> OperatorCase:
    n, c = _rows(rng), _width(rng)
    stats = np.abs(f32(rng, 2)) / np.float32(4)
    output = Value(type, _split(rng, n, c))  # type: ignore[arg-type]
    return OperatorCase(kind, [f32(rng, n, c), stats], [Value("f32", (n, c)), Value("f32", (2,))], [output])


def sign_statistics(rng: Rng) -> OperatorCase:
    return _with_statistics(rng, "sign_statistics", "sign")


def mask_statistics(rng: Rng) -> OperatorCase:
    return _with_statistics(rng, "mask_statistics", "mask")


def scale_by(rng: Rng) -> OperatorCase:
    value, count = Value("f32", (_rows(rng), _width(rng))), int(rng.integers(1, 4))
    inputs = [f32(rng, *value.shape), f32(rng, count)]
    return OperatorCase(
        "scale_by", inputs, [value, Value("f32", (count,))], [value], {"index": int(rng.integers(count))}
    )


def attention_masks_statistics(rng: Rng) -> OperatorCase:
    inputs, values, heads, n, m, width = _queries_and_keys(rng)
    attrs = {"phase": int(rng.integers(1, 3)), "patches": int(rng.choice([0, 1, n, 10 * n]))}
    outputs = [Value("mask", (1, heads, n, m)), Value("f32", (1,))]
    tensors = {"table": exponential_table(rng, width)}
    return OperatorCase("attention_masks_statistics", inputs, values, outputs, attrs, tensors)


OPERATOR_CASES: dict[str, Callable[[Rng], OperatorCase]] = {
    make.__name__: make
    for make in (
        image_to_float,
        patch_conv_u8,
        patch_conv_f32,
        linear_f32,
        linear_i8,
        constant,
        concat_rows,
        slice_rows,
        add,
        add_constant,
        affine,
        mean_rows,
        gelu,
        rprelu,
        layer_norm,
        sign,
        mask,
        layer_norm_sign,
        binary_linear,
        binary_linear_threshold,
        attention_masks,
        value_planes,
        value_product,
        statistics,
        sign_statistics,
        mask_statistics,
        scale_by,
        attention_masks_statistics,
    )
}


OPERATOR_CASES.update(GRID_CASES)


def operator_case(kind: str, seed: int) -> OperatorCase:
    """A random valid use of one operator."""
    return OPERATOR_CASES[kind](np.random.default_rng(seed))
