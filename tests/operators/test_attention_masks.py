"""attention_masks: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import TABLE, numbers, run, scores, softmax
from tests.support.loops import F, attention
from tests.support.operator_cases import OperatorCase, Rng, bits, exponential_table, f32, positive, queries_and_keys


def case_attention_masks(rng: Rng) -> OperatorCase:
    inputs, values, heads, n, m, width = queries_and_keys(rng)
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


def loop_attention_masks(c: OperatorCase) -> list[AnyArray]:
    a = attention(c)
    offset = c.tensors.get("offset")
    if offset is not None:
        for h, n, m in np.ndindex(*a.shape):
            value = offset[h, n] if offset.ndim == 2 else offset[h, n, m]
            a[h, n, m] = a[h, n, m] - (
                F(int(value)) * c.tensors["offset_scale"][h] if offset.dtype == np.int8 else value
            )
    out = np.empty(c.output_values[0].shape, np.bool_)
    for i, h, n, m in np.ndindex(*out.shape):
        value = a[h, n, m]
        match c.attrs["planes"][i]:
            case ["ones"]:
                bit = True
            case ["greater"]:
                bit = value > c.tensors["thresholds"][i, h]
            case ["at_least"]:
                bit = value >= c.tensors["thresholds"][i, h]
            case ["row_max", factor]:
                bit = value > F(factor) * max(a[h, n])
            case ["image_max", factor]:
                bit = value > F(factor) * max(a.flat)
        out[i, h, n, m] = bit
    return [out]


def test_attention_masks_rules() -> None:
    a = softmax(TABLE)
    attrs = {"planes": [["greater"], ["row_max", 0.7], ["ones"]]}
    thresholds = np.full((3, 1), 0.3, np.float32)
    masks = run(
        "attention_masks", scores(), Value("mask", (3, 1, 2, 3)), attrs=attrs, table=TABLE, thresholds=thresholds
    )[0]
    np.testing.assert_array_equal(masks[0, 0], a > 0.3)
    np.testing.assert_array_equal(masks[1, 0], a > 0.7 * a.max(-1, keepdims=True))
    assert masks[2].all()
    assert 0 < masks[:2].mean() < 1


def test_attention_masks_ties_of_equal_scores() -> None:
    attrs = {"planes": [["greater"], ["at_least"], ["row_max", 1]]}
    third = np.float32(1) / np.float32(3)
    masks = run(
        "attention_masks",
        scores(equal=True),
        Value("mask", (3, 1, 2, 3)),
        attrs=attrs,
        table=TABLE,
        thresholds=np.full((3, 1), third),
    )[0]
    assert not masks[0].any()
    assert masks[1].all()
    assert not masks[2].any()


@pytest.mark.parametrize("form", ["row", "full", "int8"])
def test_attention_masks_offset_is_subtracted(form: str) -> None:
    offset = {
        "row": numbers([0.25, -0.5]),
        "full": numbers([[0.25, 0.25, 0.25], [-0.5, -0.5, -0.5]]),
        "int8": np.array([[[1, 1, 1], [-2, -2, -2]]], np.int8),
    }[form]
    tensors = {"offset": offset}
    if form == "int8":
        tensors["offset_scale"] = numbers(0.25)
    masks = run(
        "attention_masks",
        scores(),
        Value("mask", (1, 1, 2, 3)),
        attrs={"planes": [["greater"]]},
        table=TABLE,
        thresholds=numbers([0.2]),
        **tensors,
    )[0]
    expected = softmax(TABLE) - np.array([[0.25], [-0.5]]) > 0.2
    np.testing.assert_array_equal(masks[0, 0], expected)


def test_one_token() -> None:
    q = np.ones((1, 2, 3), np.bool_)
    masks = run(
        "attention_masks",
        [("sign", q), ("sign", ~q)],
        Value("mask", (1, 2, 1, 1)),
        attrs={"planes": [["row_max", 0.9]]},
        table=np.exp(-np.arange(4.0)).astype(np.float32),
    )[0]
    assert masks.all()


def attention_case(rng: Rng, n_keys: int, width: int) -> OperatorCase:
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
    return OperatorCase("attention_masks", inputs, *values, attrs, tensors)


LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    f"{n_keys} keys of width {width}": partial(attention_case, n_keys=n_keys, width=width)
    for n_keys, width in ((198, 64), (257, 64), (100, 249), (50, 500), (785, 32))
}
