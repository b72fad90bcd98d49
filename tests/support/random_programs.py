"""Random whole Programs, shaped like the networks that are exported, with odd widths and all operators among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitvit.program import BitvitFile, Op, Preprocessing, Program, Value, validate_file
from bitvit.program.schema import AnyArray

from .operator_cases import Rng, exponential_table, f32, positive, weight_bits


class ProgramBuilder:
    """Appends operators to a Program, naming values and tensors by itself."""

    def __init__(self, rng: Rng, image_size: tuple[int, int]) -> None:
        self.rng = rng
        self.program = Program({"image": Value("u8", (*image_size, 3))}, [], "image", "")
        self.tensors: dict[str, AnyArray] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        return self.program.values[name].shape

    def op(
        self,
        kind: str,
        inputs: Sequence[str],
        *outputs: Value,
        attrs: dict[str, Any] | None = None,
        tensors: dict[str, AnyArray] | None = None,
    ) -> str:
        """Append an operator; returns the name of its first output."""
        prefix = f"{len(self.program.ops)}.{kind}"
        names = [f"{prefix}.{i}" for i in range(len(outputs))]
        self.program.values.update(zip(names, outputs, strict=True))
        self.tensors.update({f"{prefix}.{parameter}": array for parameter, array in (tensors or {}).items()})
        parameters = {parameter: f"{prefix}.{parameter}" for parameter in tensors or {}}
        self.program.ops.append(Op(kind, tuple(inputs), tuple(names), attrs or {}, parameters))
        return names[0]

    def pixels(self, channels: int) -> str:
        """Random sums of the colours of each pixel."""
        height, width, _ = self.shape("image")
        tensors = {
            "weight": self.rng.integers(-128, 128, (channels, 1, 1, 3), dtype=np.int8),
            "scale": f32(self.rng, channels, 3) / np.float32(500),
            "bias": f32(self.rng, channels),
        }
        value = Value("f32", (height * width, channels))
        return self.op("patch_conv_u8", ["image"], value, attrs={"patch": 1}, tensors=tensors)

    def rows(self, kind: str, x: str, *parameters: str, attrs: dict[str, Any] | None = None) -> str:
        """A float operator [N, C] -> [N, C] with parameters [C]."""
        n, c = self.shape(x)
        tensors = {parameter: f32(self.rng, c) for parameter in parameters}
        return self.op(kind, [x], Value("f32", (n, c)), attrs=attrs, tensors=tensors)

    def linear(self, x: str, n_outputs: int) -> str:
        """A binary linear layer."""
        n, k = self.shape(x)
        tensors = {
            "weight": weight_bits(self.rng, n_outputs, k),
            "scale": positive(self.rng, n_outputs) / np.float32(np.sqrt(k)),
            "bias": f32(self.rng, n_outputs) / np.float32(8),
        }
        return self.op("binary_linear", [x], Value("f32", (n, n_outputs)), tensors=tensors)


def random_program(seed: int) -> BitvitFile:
    """A small network with one or two transformer blocks.

    Odd and even seeds take the learned and the statistics-driven form of binarization; all other choices are random.
    """
    rng = np.random.default_rng(seed)
    heads, head_width = int(rng.integers(1, 4)), int(rng.choice([5, 8, 12, 16, 33]))
    channels, patch = heads * head_width, int(rng.choice([2, 3, 4]))
    height, width = (patch * int(rng.integers(2, 5)) for _ in "hw")
    b = ProgramBuilder(rng, (height, width))
    x = _stem(b, patch, channels)
    for _ in range(int(rng.integers(1, 3))):
        if seed % 2:
            x = _learned_mlp(b, _learned_attention(b, x, heads))
        else:
            x = _statistics_mlp(b, _statistics_attention(b, x, heads))
    n_classes = int(rng.integers(1, 12))
    b.program.output = _head(b, x, n_classes)
    resize_size = max(height, width) + int(rng.integers(0, 5))
    file = BitvitFile(
        b.program,
        b.tensors,
        Preprocessing((height, width), resize_size, "bilinear"),
        [f"class {i}" for i in range(n_classes)],
        {"model": "random", "seed": seed},
    )
    validate_file(file)
    return file


def random_images(file: BitvitFile, count: int, seed: int) -> AnyArray:
    """Noise in the size of the Program's input. -> uint8 [count, H, W, 3]."""
    shape = file.program.values[file.program.input].shape
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def _stem(b: ProgramBuilder, patch: int, channels: int) -> str:
    rng = b.rng
    height, width, _ = b.shape("image")
    n = (height // patch) * (width // patch)
    area = patch * patch
    if rng.random() < 0.6:
        tensors = {
            "weight": rng.integers(-128, 128, (channels, patch, patch, 3), dtype=np.int8),
            "scale": positive(rng, channels, 3) / np.float32(area * 4000),
            "bias": f32(rng, channels),
        }
        x = b.op("patch_conv_u8", ["image"], Value("f32", (n, channels)), attrs={"patch": patch}, tensors=tensors)
    else:
        scaling = {"mul": positive(rng, 3) / np.float32(64), "add": f32(rng, 3)}
        pixels = b.op("image_to_float", ["image"], Value("f32", (height, width, 3)), tensors=scaling)
        tensors = {
            "weight": f32(rng, channels, patch, patch, 3) / np.float32(area),
            "bias": f32(rng, channels),
        }
        x = b.op("patch_conv_f32", [pixels], Value("f32", (n, channels)), attrs={"patch": patch}, tensors=tensors)
    if rng.random() < 0.6:
        n_tokens = int(rng.integers(1, 3))
        tokens = b.op(
            "constant", [], Value("f32", (n_tokens, channels)), tensors={"value": f32(rng, n_tokens, channels)}
        )
        n += n_tokens
        x = b.op("concat_rows", [tokens, x], Value("f32", (n, channels)))
    positions = f32(rng, *((n, channels) if rng.random() < 0.7 else (channels,)))
    return b.op("add_constant", [x], Value("f32", (n, channels)), tensors={"value": positions})


def _learned_signs(b: ProgramBuilder, x: str) -> str:
    """Normalized and binarized, in one operator or in two."""
    n, c = b.shape(x)
    if b.rng.random() < 0.5:
        tensors = {"weight": f32(b.rng, c), "threshold": f32(b.rng, c)}
        return b.op("layer_norm_sign", [x], Value("sign", (n, c)), attrs={"eps": 1e-6}, tensors=tensors)
    normal = b.rows("layer_norm", x, "weight", "bias", attrs={"eps": 1e-5})
    return b.op("sign", [normal], Value("sign", (n, c)), tensors={"threshold": f32(b.rng, c) / np.float32(4)})


def _learned_attention(b: ProgramBuilder, x: str, heads: int) -> str:
    rng = b.rng
    n, c = b.shape(x)
    width = c // heads
    signs = _learned_signs(b, x)
    if rng.random() < 0.5:
        queries, keys = (
            b.op(
                "sign",
                [b.linear(signs, c)],
                Value("sign", (n, heads, width)),
                tensors={"threshold": f32(rng, c) / np.float32(4)},
            )
            for _ in "qk"
        )
    else:
        queries, keys = (_threshold(b, signs, c, Value("sign", (n, heads, width))) for _ in "qk")
    planes: list[list[Any]] = [["greater" if rng.random() < 0.7 else "at_least"], ["row_max", 0.7], ["row_max", 0.9]]
    planes = planes[: int(rng.integers(1, 4))]
    tensors = {
        "table": exponential_table(rng, width),
        "thresholds": positive(rng, len(planes), heads) / np.float32(n),
    }
    if rng.random() < 0.6:
        tensors["offset"] = rng.integers(-128, 128, (heads, n, n), dtype=np.int8)
        tensors["offset_scale"] = positive(rng, heads) / np.float32(256 * n)
    masks = b.op(
        "attention_masks",
        [queries, keys],
        Value("mask", (len(planes), heads, n, n)),
        attrs={"planes": planes},
        tensors=tensors,
    )
    factors = [0.7, 0.9][: int(rng.integers(0, 3))]
    values = b.op(
        "value_planes",
        [b.linear(signs, c)],
        Value("ternary", (len(factors) + 1, heads, width, n)),
        attrs={"factors": factors},
    )
    context = _product(b, masks, values)
    projected = b.op("sign", [context], Value("sign", (n, c)), tensors={"threshold": f32(rng, c)})
    return b.op("add", [b.linear(projected, c), x], Value("f32", (n, c)))


def _product(b: ProgramBuilder, masks: str, values: str) -> str:
    n_masks, heads, n, _ = b.shape(masks)
    n_planes, _, width, _ = b.shape(values)
    tensors = {"row_scale": positive(b.rng, n_masks, heads), "column_scale": positive(b.rng, n_planes)}
    return b.op("value_product", [masks, values], Value("f32", (n, heads * width)), tensors=tensors)


def _threshold(b: ProgramBuilder, x: str, n_outputs: int, output: Value) -> str:
    k = b.shape(x)[1]
    low = b.rng.integers(0, k + 1, n_outputs)
    tensors = {
        "weight": weight_bits(b.rng, n_outputs, k),
        "low": np.where(b.rng.random(n_outputs) < 0.5, k // 2, low).astype(np.int16),
        "high": np.where(b.rng.random(n_outputs) < 0.5, 32767, low + k // 4).astype(np.int16),
        "flip": b.rng.integers(0, 2, n_outputs, dtype=np.uint8),
    }
    return b.op("binary_linear_threshold", [x], output, tensors=tensors)


def _learned_mlp(b: ProgramBuilder, x: str) -> str:
    rng = b.rng
    n, c = b.shape(x)
    hidden = c * 2 + 1
    signs = _learned_signs(b, x)
    if rng.random() < 0.5:
        masks = _threshold(b, signs, hidden, Value("mask", (n, hidden)))
    else:
        active = b.linear(signs, hidden)
        if rng.random() < 0.5:
            active = b.rows("rprelu", active, "before", "slope", "after")
        active = b.op("gelu", [active], Value("f32", (n, hidden)))
        masks = b.op("mask", [active], Value("mask", (n, hidden)), tensors={"threshold": positive(rng, hidden)})
    return b.op("add", [x, b.linear(masks, c)], Value("f32", (n, c)))


def _statistics_of(b: ProgramBuilder, x: str) -> str:
    return b.op("statistics", [x], Value("f32", (2,)))


def _scaled(b: ProgramBuilder, x: str, stats: str, index: int) -> str:
    return b.op("scale_by", [x, stats], Value("f32", b.shape(x)), attrs={"index": index})


def _statistics_attention(b: ProgramBuilder, x: str, heads: int) -> str:
    rng = b.rng
    n, c = b.shape(x)
    width = c // heads
    normal = b.rows("layer_norm", x, "weight", "bias", attrs={"eps": 1e-6})
    stats = _statistics_of(b, normal)
    signs = b.op("sign_statistics", [normal, stats], Value("sign", (n, c)))
    queries, keys, values = (b.rows("affine", _scaled(b, b.linear(signs, c), stats, 1), "scale", "bias") for _ in "qkv")
    queries, keys = (
        b.op("sign_statistics", [y, _statistics_of(b, y)], Value("sign", (n, heads, width))) for y in (queries, keys)
    )
    gamma = Value("f32", (1,))
    masks = b.op(
        "attention_masks_statistics",
        [queries, keys],
        Value("mask", (1, heads, n, n)),
        gamma,
        attrs={"phase": int(rng.integers(1, 3)), "patches": int(rng.choice([0, n]))},
        tensors={"table": exponential_table(rng, width)},
    )
    value_stats = _statistics_of(b, values)
    planes = b.op("value_planes", [values, value_stats], Value("ternary", (1, heads, width, n)), attrs={"factors": []})
    context = _scaled(b, _product(b, masks, planes), value_stats, 1)
    context = _scaled(b, context, masks.removesuffix(".0") + ".1", 0)
    context_stats = _statistics_of(b, context)
    projected = b.op("sign_statistics", [context, context_stats], Value("sign", (n, c)))
    return b.op("add", [x, _scaled(b, b.linear(projected, c), context_stats, 1)], Value("f32", (n, c)))


def _statistics_mlp(b: ProgramBuilder, x: str) -> str:
    n, c = b.shape(x)
    normal = b.rows("layer_norm", x, "weight", "bias", attrs={"eps": 1e-6})
    stats = _statistics_of(b, normal)
    signs = b.op("sign_statistics", [normal, stats], Value("sign", (n, c)))
    active = b.op("gelu", [_scaled(b, b.linear(signs, 3 * c), stats, 1)], Value("f32", (n, 3 * c)))
    active_stats = _statistics_of(b, active)
    masks = b.op("mask_statistics", [active, active_stats], Value("mask", (n, 3 * c)))
    return b.op("add", [_scaled(b, b.linear(masks, c), active_stats, 1), x], Value("f32", (n, c)))


def _head(b: ProgramBuilder, x: str, n_classes: int) -> str:
    rng = b.rng
    n, c = b.shape(x)
    if rng.random() < 0.3:
        x = b.op("mean_rows", [x], Value("f32", (1, c)))
    else:
        row = int(rng.integers(0, n))
        x = b.op("slice_rows", [x], Value("f32", (1, c)), attrs={"start": row, "stop": row + 1})
    x = b.rows("layer_norm", x, "weight", "bias", attrs={"eps": 1e-6})
    if rng.random() < 0.5:
        tensors = {"weight": f32(rng, n_classes, c), "bias": f32(rng, n_classes)}
        return b.op("linear_f32", [x], Value("f32", (1, n_classes)), tensors=tensors)
    tensors = {
        "shift": f32(rng, c),
        "step": np.array([0.0313], dtype=np.float32),
        "weight": rng.integers(-128, 128, (n_classes, c), dtype=np.int8),
        "scale": positive(rng, n_classes) / np.float32(1000),
        "bias": f32(rng, n_classes),
    }
    return b.op("linear_i8", [x], Value("f32", (1, n_classes)), tensors=tensors)
