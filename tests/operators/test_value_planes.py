"""value_planes: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.loops import F
from tests.support.operator_cases import OperatorCase, Rng, f32, positive, random_heads, random_rows


def case_value_planes(rng: Rng) -> OperatorCase:
    m, (heads, width) = random_rows(rng), random_heads(rng)
    factors = [0.7, 0.9, 0.5, 1.0][: int(rng.integers(0, 5))]
    inputs = [f32(rng, m, heads * width)]
    if rng.random() < 0.3:
        inputs[0] = np.abs(inputs[0])  # no negative value: the lower threshold lies above zero
    if rng.random() < 0.4:
        inputs.append(f32(rng, 2))
    output = Value("ternary", (len(factors) + 1, heads, width, m))
    tensors = {}
    if factors and rng.random() < 0.4:
        tensors["thresholds"] = positive(rng, len(factors), heads)
    values = [Value("f32", x.shape) for x in inputs]
    return OperatorCase("value_planes", inputs, values, [output], {"factors": factors}, tensors)


def loop_value_planes(c: OperatorCase) -> list[AnyArray]:
    v = c.inputs[0]
    if len(c.inputs) == 2:
        v = np.array([[value - c.inputs[1][0] for value in row] for row in v], F)
    largest, smallest = max(v.flat), min(v.flat)
    out = np.empty(c.output_values[0].shape, np.int8)
    for i, h, d, m in np.ndindex(*out.shape):
        value = v[m, h * out.shape[2] + d]
        sign = -1 if value < 0 else 1
        if i > 0:
            factor = F(c.attrs["factors"][i - 1])
            high, low = factor * largest, factor * smallest
            if "thresholds" in c.tensors:
                high = factor * c.tensors["thresholds"][i - 1, h]
                low = -high
            if not (value > high or value < low):
                sign = 0
        out[i, h, d, m] = sign
    return [out]


def test_value_planes_by_hand() -> None:
    v = numbers([4, -2], [3, -1.5], [0, 1], [2.5, -0.0])
    planes = run("value_planes", [("f32", v)], Value("ternary", (3, 1, 2, 4)), attrs={"factors": [0.7, 0.5]})[0]
    assert planes[0, 0].tolist() == [[1, 1, 1, 1], [-1, -1, 1, 1]]
    assert planes[1, 0].tolist() == [[1, 1, 0, 0], [-1, -1, 0, 0]]  # beyond 2.8 or -1.4
    assert planes[2, 0].tolist() == [[1, 1, 0, 1], [-1, -1, 0, 0]]  # beyond 2 or -1


def test_value_planes_beyond_fixed_thresholds_of_each_head() -> None:
    v = numbers([0.5, -2], [0.6, 2.5], [-0.7, -0.0])
    thresholds = np.array([[0.5, 2.0], [1.0, 4.0]], np.float32)
    planes = run(
        "value_planes",
        [("f32", v)],
        Value("ternary", (3, 2, 1, 3)),
        attrs={"factors": [1.0, 0.5]},
        thresholds=thresholds,
    )[0]
    assert planes[0, :, 0].tolist() == [[1, 1, -1], [-1, 1, 1]]
    assert planes[1, :, 0].tolist() == [[0, 1, -1], [0, 1, 0]]  # beyond 0.5 in the first head, 2 in the second
    assert planes[2, :, 0].tolist() == [[0, 1, -1], [0, 1, 0]]  # the same: half of 1 and of 4


def test_value_planes_of_zeros() -> None:
    planes = run(
        "value_planes",
        [("f32", np.zeros((2, 3), np.float32))],
        Value("ternary", (2, 3, 1, 2)),
        attrs={"factors": [0.7]},
    )[0]
    assert (planes[0] == 1).all()
    assert not planes[1].any()
