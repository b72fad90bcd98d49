"""Every operator in the engine equals the NumPy interpreter bit for bit, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import OPERATORS, Value
from bitvit.runtime import available_isas
from tests.support.engine_comparison import check_case
from tests.support.operator_cases import (
    OPERATOR_CASES,
    OperatorCase,
    bits,
    exponential_table,
    f32,
    operator_case,
    positive,
    weight_bits,
)

ISAS = available_isas()


def test_every_operator_has_cases() -> None:
    assert set(OPERATOR_CASES) == set(OPERATORS)


@pytest.mark.parametrize("kind", sorted(OPERATOR_CASES))
def test_random_cases(kind: str) -> None:
    for seed in range(25):
        check_case(operator_case(kind, seed), ISAS, f"{kind}, seed {seed}")


@pytest.mark.parametrize("type", ["sign", "mask"])
@pytest.mark.parametrize("n_inputs", [248, 249, 384, 385, 768, 1000, 1536, 3072, 32767])
def test_long_binary_linear(n_inputs: int, type: str) -> None:
    rng = np.random.default_rng(n_inputs)
    n_rows, n_outputs = (3, 5) if n_inputs > 4000 else (11, 83)
    x = bits(rng, n_rows, n_inputs)
    x[0], x[1] = True, False
    tensors = {
        "weight": weight_bits(rng, n_outputs, n_inputs),
        "scale": f32(rng, n_outputs),
        "bias": f32(rng, n_outputs),
    }
    tensors["weight"][0] = 0
    values = [Value(type, x.shape)], [Value("f32", (n_rows, n_outputs))]
    check_case(OperatorCase("binary_linear", [x], *values, {}, tensors), ISAS, f"{n_inputs} inputs")


@pytest.mark.parametrize("n_inputs", [384, 385, 1536, 32767])
def test_long_binary_linear_threshold(n_inputs: int) -> None:
    rng = np.random.default_rng(n_inputs)
    n_rows, n_outputs = 9, 70
    x = bits(rng, n_rows, n_inputs)
    x[0], x[1] = True, False
    weight = weight_bits(rng, n_outputs, n_inputs)
    weight[0] = 0  # p goes from 0 to K
    low = rng.integers(n_inputs // 2 - 20, n_inputs // 2 + 20, n_outputs)
    high = low + rng.integers(0, 30, n_outputs)
    low[:4], high[:4] = [-5, n_inputs, 0, 10], [0, n_inputs, n_inputs, 9]
    tensors = {
        "weight": weight,
        "low": low.astype(np.int16),
        "high": high.astype(np.int16),
        "flip": rng.integers(0, 2, n_outputs, dtype=np.uint8),
    }
    case = OperatorCase(
        "binary_linear_threshold", [x], [Value("sign", x.shape)], [Value("mask", (n_rows, n_outputs))], {}, tensors
    )
    check_case(case, ISAS, f"{n_inputs} inputs")


@pytest.mark.parametrize(("n_keys", "width"), [(198, 64), (257, 64), (100, 249), (50, 500), (785, 32)])
def test_attention_of_real_sizes(n_keys: int, width: int) -> None:
    rng = np.random.default_rng(n_keys)
    n, heads = 19, 2
    inputs = [bits(rng, n, heads, width), bits(rng, n_keys, heads, width)]
    tensors = {
        "table": exponential_table(rng, width),
        "offset": rng.integers(-128, 128, (heads, n, n_keys), dtype=np.int8),
        "offset_scale": positive(rng, heads) / np.float32(256 * n_keys),
        "thresholds": (rng.random((3, heads)) / n_keys).astype(np.float32),
    }
    attrs = {"planes": [["greater"], ["row_max", 0.7], ["row_max", 0.9]]}
    values = [Value("sign", x.shape) for x in inputs], [Value("mask", (3, heads, n, n_keys))]
    check_case(OperatorCase("attention_masks", inputs, *values, attrs, tensors), ISAS, f"{n_keys} keys")


@pytest.mark.parametrize(("n_keys", "width", "n_planes"), [(198, 64, 3), (257, 64, 2), (785, 12, 5), (1030, 33, 1)])
def test_value_product_of_real_sizes(n_keys: int, width: int, n_planes: int) -> None:
    rng = np.random.default_rng(n_keys)
    n, heads, n_masks = 21, 2, 3
    masks = bits(rng, n_masks, heads, n, n_keys)
    masks[0, :, 0] = True
    planes = rng.integers(-1, 2, (n_planes, heads, width, n_keys)).astype(np.int8)
    planes[:, :, 0] = -1
    tensors = {"row_scale": positive(rng, n_masks, heads), "column_scale": positive(rng, n_planes)}
    values = [Value("mask", masks.shape), Value("ternary", planes.shape)], [Value("f32", (n, heads * width))]
    check_case(OperatorCase("value_product", [masks, planes], *values, {}, tensors), ISAS, f"{n_keys} keys")


def test_patches_of_real_size() -> None:
    rng = np.random.default_rng(0)
    shape, n_outputs = (64, 48, 3), 50
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    tensors = {
        "weight": rng.integers(-128, 128, (n_outputs, 16, 16, 3), dtype=np.int8),
        "scale": f32(rng, n_outputs, 3),
        "bias": f32(rng, n_outputs),
    }
    case = OperatorCase(
        "patch_conv_u8", [image], [Value("u8", shape)], [Value("f32", (12, n_outputs))], {"patch": 16}, tensors
    )
    check_case(case, ISAS, "patches of 16")


def test_long_linear_i8() -> None:
    rng = np.random.default_rng(0)
    n, k, o = 5, 1543, 37
    tensors = {
        "shift": f32(rng, k),
        "step": np.array([0.011], dtype=np.float32),
        "weight": rng.integers(-128, 128, (o, k), dtype=np.int8),
        "scale": f32(rng, o),
        "bias": f32(rng, o),
    }
    case = OperatorCase("linear_i8", [f32(rng, n, k)], [Value("f32", (n, k))], [Value("f32", (n, o))], {}, tensors)
    check_case(case, ISAS, "linear_i8")
