"""linear_i8: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import F
from tests.support.operator_cases import OperatorCase, Rng, f32, random_rows, random_width


def case_linear_i8(rng: Rng) -> OperatorCase:
    n, k, o = random_rows(rng), random_width(rng), random_width(rng)
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


def loop_linear_i8(c: OperatorCase) -> list[AnyArray]:
    (x,), t = c.inputs, c.tensors
    out = np.empty(c.output_values[0].shape, F)
    for n in range(len(x)):
        # Python's round is half to even too, and exact on a float that was a binary32.
        q = [max(-128, min(127, round(float((x[n, k] + t["shift"][k]) / t["step"][0])))) for k in range(x.shape[1])]
        for o in range(out.shape[1]):
            acc = sum(a * int(w) for a, w in zip(q, t["weight"][o], strict=True))
            out[n, o] = F(acc) * t["scale"][o] + t["bias"][o]
    return [out]


def test_linear_i8_rounds_half_to_even_and_clamps() -> None:
    x = numbers([0.5], [1.5], [2.5], [-0.5], [1000], [-1000])
    y = run(
        "linear_i8",
        [("f32", x)],
        Value("f32", (6, 1)),
        shift=numbers(0),
        step=numbers(1),
        weight=np.array([[1]], np.int8),
        scale=numbers(1),
        bias=numbers(0),
    )[0]
    assert y[:, 0].tolist() == [0, 2, 2, 0, 127, -128]


def long_case(rng: Rng) -> OperatorCase:
    n, k, o = 5, 1543, 37
    tensors = {
        "shift": f32(rng, k),
        "step": np.array([0.011], dtype=np.float32),
        "weight": rng.integers(-128, 128, (o, k), dtype=np.int8),
        "scale": f32(rng, o),
        "bias": f32(rng, o),
    }
    return OperatorCase("linear_i8", [f32(rng, n, k)], [Value("f32", (n, k))], [Value("f32", (n, o))], {}, tensors)


LARGE: dict[str, Callable[[Rng], OperatorCase]] = {"1543 inputs": long_case}
