"""binary_linear, binary_linear_threshold: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from bitvit.program import Value, sign_bits
from bitvit.program.schema import AnyArray, ValueType
from tests.support.by_hand import numbers, run
from tests.support.loops import F, as_integer, stored_integer
from tests.support.operator_cases import (
    OperatorCase,
    Rng,
    bits,
    f32,
    random_rows,
    random_split,
    random_width,
    weight_bits,
)


def case_binary_linear(rng: Rng) -> OperatorCase:
    n, k, o = random_rows(rng), random_width(rng), random_width(rng)
    type = str(rng.choice(["sign", "mask"]))
    tensors = {"weight": weight_bits(rng, o, k), "scale": f32(rng, o), "bias": f32(rng, o)}
    return OperatorCase("binary_linear", [bits(rng, n, k)], [Value(type, (n, k))], [Value("f32", (n, o))], {}, tensors)


def case_binary_linear_threshold(rng: Rng) -> OperatorCase:
    n, k, o = random_rows(rng), random_width(rng), random_width(rng)
    low = rng.integers(-2, k + 3, o)
    high = low + rng.integers(-2, k + 3, o)
    tensors = {
        "weight": weight_bits(rng, o, k),
        "low": np.where(rng.random(o) < 0.3, -(1 << 15), low).astype(np.int16),
        "high": np.where(rng.random(o) < 0.3, (1 << 15) - 1, high).astype(np.int16),
        "flip": rng.integers(0, 2, o, dtype=np.uint8),
    }
    output = Value(str(rng.choice(["sign", "mask"])), random_split(rng, n, o))
    return OperatorCase(
        "binary_linear_threshold",
        [bits(rng, n, k)],
        [Value(str(rng.choice(["sign", "mask"])), (n, k))],
        [output],
        {},
        tensors,
    )


def loop_binary_linear(c: OperatorCase) -> list[AnyArray]:
    (x,), weight = c.inputs, c.tensors["weight"]
    out = np.empty(c.output_values[0].shape, F)
    for n, o in np.ndindex(*out.shape):
        a, w = as_integer(x[n]), stored_integer(weight[o])
        if c.input_values[0].type == "sign":
            z = sum(-1 if (a >> k ^ w >> k) & 1 else 1 for k in range(x.shape[1]))
        else:
            z = sum((a >> k & 1) * (-1 if w >> k & 1 else 1) for k in range(x.shape[1]))
        out[n, o] = F(z) * c.tensors["scale"][o] + c.tensors["bias"][o]
    return [out]


def loop_binary_linear_threshold(c: OperatorCase) -> list[AnyArray]:
    (x,), t = c.inputs, c.tensors
    out = np.empty((len(x), len(t["low"])), np.bool_)
    for n, o in np.ndindex(*out.shape):
        p = (as_integer(x[n]) ^ stored_integer(t["weight"][o])).bit_count()
        out[n, o] = (int(t["low"][o]) <= p <= int(t["high"][o])) != bool(t["flip"][o])
    return [out.reshape(c.output_values[0].shape)]


@pytest.mark.parametrize(("type", "expected"), [("sign", [4, 0, -4]), ("mask", [-1, -1, 3])])
def test_binary_linear_products(type: str, expected: list[int]) -> None:
    # Row 0 of x equals the weights, row 1 differs in half of the bits, row 2 is their opposite.
    weight = np.array([[-1, 1, 1, 1]])
    x = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]], np.bool_)
    if type == "mask":
        by_hand = x.astype(int) @ weight[0]
    else:
        by_hand = np.where(x, -1, 1) @ weight[0]
    z = run(
        "binary_linear",
        [(type, x)],
        Value("f32", (3, 1)),
        weight=sign_bits(weight),
        scale=numbers(1),
        bias=numbers(0),
    )[0]
    assert z[:, 0].tolist() == by_hand.tolist()
    assert z[0, 0] == expected[0]
    assert z[2, 0] == expected[2]


def test_binary_linear_threshold_band() -> None:
    # p = 0, 1, 2, 3 with all-plus weights
    x = np.tril(np.ones((4, 3), np.bool_), -1)
    cases = {(1, 2, 0): [0, 1, 1, 0], (1, 2, 1): [1, 0, 0, 1], (2, 1, 0): [0, 0, 0, 0], (2, 1, 1): [1, 1, 1, 1]}
    for (low, high, flip), expected in cases.items():
        bits = run(
            "binary_linear_threshold",
            [("sign", x)],
            Value("mask", (4, 1)),
            weight=sign_bits(np.ones((1, 3))),
            low=np.array([low], np.int16),
            high=np.array([high], np.int16),
            flip=np.array([flip], np.uint8),
        )[0]
        assert bits[:, 0].tolist() == [bool(b) for b in expected], (low, high, flip)


def long_linear(rng: Rng, n_inputs: int, type: ValueType) -> OperatorCase:
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
    return OperatorCase("binary_linear", [x], *values, {}, tensors)


def long_threshold(rng: Rng, n_inputs: int) -> OperatorCase:
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
    values = [Value("sign", x.shape)], [Value("mask", (n_rows, n_outputs))]
    return OperatorCase("binary_linear_threshold", [x], *values, {}, tensors)


TYPES: tuple[ValueType, ...] = ("sign", "mask")
LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    f"{n_inputs} inputs of type {type}": partial(long_linear, n_inputs=n_inputs, type=type)
    for n_inputs in (248, 249, 384, 385, 768, 1000, 1536, 3072, 32767)
    for type in TYPES
} | {
    f"threshold of {n_inputs} inputs": partial(long_threshold, n_inputs=n_inputs)
    for n_inputs in (384, 385, 1536, 32767)
}
