"""Sizes at which kernels change their method, and limits that floats reach: results equal the interpreter's."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import Value, pack_bits
from bitvit.runtime import available_isas
from tests.support.engine_comparison import check_case
from tests.support.operator_cases import OperatorCase, bits, f32, positive

RULES = [["greater"], ["at_least"], ["row_max", 0.5], ["ones"], ["image_max", 0.25]]


def _attention(rng: np.random.Generator, m: int, width: int, planes: list[list[object]]) -> OperatorCase:
    heads, n = 2, 11
    inputs = [bits(rng, n, heads, width), bits(rng, m, heads, width)]
    table = np.concatenate([np.ones(1), np.sort(rng.random(width))[::-1] ** 4]).astype(np.float32)
    tensors = {"table": table, "thresholds": (rng.random((len(planes), heads)) / m).astype(np.float32)}
    if not any(rule[0] in ("greater", "at_least") for rule in planes):
        del tensors["thresholds"]
    output = Value("mask", (len(planes), heads, n, m))
    values = [Value("sign", array.shape) for array in inputs]
    return OperatorCase("attention_masks", inputs, values, [output], {"planes": planes}, tensors)


@pytest.mark.parametrize("width", [1, 8, 25, 32, 56, 64, 65, 120, 126, 127, 128, 250, 257])
@pytest.mark.parametrize("m", [1, 16, 49, 63, 64, 65, 128, 198])
def test_attention_of_all_sizes(width: int, m: int) -> None:
    rng = np.random.default_rng(1000 * width + m)
    case = _attention(rng, m, width, [RULES[int(i)] for i in rng.integers(0, len(RULES), int(rng.integers(1, 9)))])
    case.tensors["offset"] = f32(rng, 2, 11, m) / np.float32(8 * m)
    check_case(case, available_isas(), f"width {width}, {m} keys")


@pytest.mark.parametrize("n_planes", range(1, 9))
def test_attention_of_many_planes(n_planes: int) -> None:
    rng = np.random.default_rng(n_planes)
    check_case(_attention(rng, 70, 64, [RULES[i % len(RULES)] for i in range(n_planes)]), available_isas(), "planes")


def test_thresholds_at_and_around_zero() -> None:
    rng = np.random.default_rng(5)
    case = _attention(rng, 66, 32, [["at_least"], ["greater"]] * 2)
    case.tensors["thresholds"][:] = np.float32([[0.0], [0.0], [-0.0], [-1e-45]])
    case.tensors["table"][1:] = 0.0  # most entries are 0, at the threshold
    check_case(case, available_isas(), "zeros")


def test_offsets_that_overflow() -> None:
    rng = np.random.default_rng(6)
    case = _attention(rng, 40, 16, RULES[:4])
    case.tensors["thresholds"][1] = -np.finfo(np.float32).max
    case.tensors["offset"] = rng.choice(np.int8([-128, 0, 127]), (2, 11, 40))
    case.tensors["offset_scale"] = np.full(2, 3e38, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        check_case(case, available_isas(), "infinite entries")


@pytest.mark.parametrize(
    ("m", "n_planes", "width"),
    [
        (1, 1, 1),
        (49, 3, 32),
        (64, 3, 64),
        (198, 3, 64),
        (240, 4, 64),
        (247, 2, 33),
        (248, 1, 16),
        (249, 3, 64),
        (256, 5, 64),
    ],
)
def test_value_product_of_all_densities(m: int, n_planes: int, width: int) -> None:
    rng = np.random.default_rng(m)
    heads, n = 2, 21
    densities = np.array([0.0, 0.01, 0.06, 0.1, 0.5, 0.93, 0.99, 1.0])[:, None, None, None]
    masks = (rng.random((8, heads, n, m)) < densities).astype(np.uint8)
    planes = rng.integers(-1, 2, (n_planes, heads, width, m)).astype(np.int8)
    tensors = {"row_scale": positive(rng, 8, heads), "column_scale": positive(rng, n_planes)}
    values = [Value("mask", masks.shape), Value("ternary", planes.shape)]
    output = Value("f32", (n, heads * width))
    case = OperatorCase("value_product", [masks, planes], values, [output], {}, tensors)
    check_case(case, available_isas(), f"{m} keys, {n_planes} planes of {width}")


@pytest.mark.parametrize(
    ("group_inputs", "group_outputs", "groups"),
    [(16, 16, 4), (16, 16, 8), (16, 16, 2), (16, 32, 4), (32, 32, 2), (64, 32, 1), (96, 64, 3), (32, 16, 2)],
)
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 3)])
def test_convolution_in_groups(group_inputs: int, group_outputs: int, groups: int, kernel: int, dilation: int) -> None:
    rng = np.random.default_rng(group_inputs + kernel)
    height, width, n_outputs = 5, 9, groups * group_outputs
    tensors = {
        "weight": pack_bits(bits(rng, n_outputs, kernel * kernel, group_inputs)),
        "scale": f32(rng, n_outputs),
        "bias": f32(rng, n_outputs),
    }
    attrs = {"grid": [height, width], "kernel": kernel, "dilation": dilation, "groups": groups}
    x = bits(rng, height * width, groups * group_inputs)
    values, output = [Value("sign", x.shape)], Value("f32", (height * width, n_outputs))
    check_case(OperatorCase("binary_conv", [x], values, [output], attrs, tensors), available_isas(), "convolution")


@pytest.mark.parametrize("group", [2, 3, 4, 8, 12, 16])
@pytest.mark.parametrize("n_means", [1, 5, 16, 50, 64])
def test_means_of_channels(group: int, n_means: int) -> None:
    x = f32(np.random.default_rng(group), 3, group * n_means)
    output = Value("f32", (3, n_means))
    case = OperatorCase("mean_channels", [x], [Value("f32", x.shape)], [output], {"group": group}, {})
    check_case(case, available_isas(), f"{n_means} means of {group}")


@pytest.mark.parametrize("operator", ["layer_norm", "layer_norm_sign"])
@pytest.mark.parametrize("n_rows", [1, 3, 4, 9])
@pytest.mark.parametrize("width", [15, 16, 48, 100, 384])
def test_layer_norm_of_several_rows(operator: str, n_rows: int, width: int) -> None:
    rng = np.random.default_rng(width + n_rows)
    x, is_sign = f32(rng, n_rows, width), operator == "layer_norm_sign"
    tensors = {"weight": f32(rng, width), "threshold" if is_sign else "bias": f32(rng, width)}
    output = Value("sign" if is_sign else "f32", x.shape)
    case = OperatorCase(operator, [x], [Value("f32", x.shape)], [output], {"eps": 1e-6}, tensors)
    check_case(case, available_isas(), f"{n_rows} rows of {width}")
