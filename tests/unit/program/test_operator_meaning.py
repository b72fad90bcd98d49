"""Operators at the edges of their definitions, with results worked out by hand or in binary64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitvit.program import OperandError, TensorContentError, Value, run_operator, sign_bits
from bitvit.program.schema import AnyArray


def f32(*values: Any) -> AnyArray:
    return np.array(values, np.float32)


def run(
    kind: str, inputs: list[tuple[str, AnyArray]], *outputs: Value, attrs: dict[str, Any] | None = None, **tensors: Any
) -> list[AnyArray]:
    values = [Value(type, array.shape) for type, array in inputs]  # type: ignore[arg-type]
    return run_operator(kind, [array for _, array in inputs], values, outputs, attrs, tensors)


def test_ties_at_thresholds() -> None:
    x = f32([-0.0, 0.0, 1.0, -1.0])
    threshold = f32(0, 0, 1, -1)
    assert run("sign", [("f32", x)], Value("sign", (1, 4)), threshold=threshold)[0].tolist() == [[False] * 4]
    assert run("mask", [("f32", x)], Value("mask", (1, 4)), threshold=threshold)[0].tolist() == [[False] * 4]


def test_bits_split_into_heads_keep_their_channels() -> None:
    x = f32([-1, 1, 1, -1, -1, 1])
    bits = run("sign", [("f32", x)], Value("sign", (1, 2, 3)), threshold=np.zeros(6, np.float32))[0]
    assert bits.tolist() == [[[True, False, False], [True, True, False]]]


def test_layer_norm_sign_agrees_with_layer_norm_and_sign() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((50, 33)).astype(np.float32)
    weight, bias, shift = (rng.standard_normal(33).astype(np.float32) for _ in range(3))
    wide = x.astype(np.float64)
    normal = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-6)
    argument = normal * weight + bias + shift
    threshold = -(bias.astype(np.float64) + shift)
    attrs = {"eps": 1e-6}
    bits = run(
        "layer_norm_sign",
        [("f32", x)],
        Value("sign", (50, 33)),
        attrs=attrs,
        weight=weight,
        threshold=threshold.astype(np.float32),
    )[0]
    is_clear = np.abs(argument) > 1e-4  # elsewhere rounding may decide
    assert is_clear.mean() > 0.99
    np.testing.assert_array_equal(bits[is_clear], argument[is_clear] < 0)


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
        scale=f32(1),
        bias=f32(0),
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


def test_linear_i8_rounds_half_to_even_and_clamps() -> None:
    x = f32([0.5], [1.5], [2.5], [-0.5], [1000], [-1000])
    y = run(
        "linear_i8",
        [("f32", x)],
        Value("f32", (6, 1)),
        shift=f32(0),
        step=f32(1),
        weight=np.array([[1]], np.int8),
        scale=f32(1),
        bias=f32(0),
    )[0]
    assert y[:, 0].tolist() == [0, 2, 2, 0, 127, -128]


def test_rprelu_by_hand() -> None:
    x = f32([1, 2, 3])
    y = run("rprelu", [("f32", x)], Value("f32", (1, 3)), before=f32(2, 2, 2), slope=f32(3, 3, 3), after=f32(1, 1, 1))
    assert y[0].tolist() == [[-2, 1, 2]]


def scores(*, equal: bool = False) -> list[tuple[str, AnyArray]]:
    """One head of width 4, two queries, three keys; popcounts [[0, 1, 4], [4, 3, 0]] unless all are equal."""
    q = np.array([[[0, 0, 0, 0]], [[1, 1, 1, 1]]], np.bool_)
    k = np.array([[[0, 0, 0, 0]], [[1, 0, 0, 0]], [[1, 1, 1, 1]]], np.bool_)
    return [("sign", q), ("sign", k & (not equal))]


def softmax(table: AnyArray) -> AnyArray:
    e = table.astype(np.float64)[[[0, 1, 4], [4, 3, 0]]]
    return e / e.sum(-1, keepdims=True)


TABLE = np.exp(-np.arange(5) / 3).astype(np.float32)


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
        "row": f32([0.25, -0.5]),
        "full": f32([[0.25, 0.25, 0.25], [-0.5, -0.5, -0.5]]),
        "int8": np.array([[[1, 1, 1], [-2, -2, -2]]], np.int8),
    }[form]
    tensors = {"offset": offset}
    if form == "int8":
        tensors["offset_scale"] = f32(0.25)
    masks = run(
        "attention_masks",
        scores(),
        Value("mask", (1, 1, 2, 3)),
        attrs={"planes": [["greater"]]},
        table=TABLE,
        thresholds=f32([0.2]),
        **tensors,
    )[0]
    expected = softmax(TABLE) - np.array([[0.25], [-0.5]]) > 0.2
    np.testing.assert_array_equal(masks[0, 0], expected)


def test_value_planes_by_hand() -> None:
    v = f32([4, -2], [3, -1.5], [0, 1], [2.5, -0.0])
    planes = run("value_planes", [("f32", v)], Value("ternary", (3, 1, 2, 4)), attrs={"factors": [0.7, 0.5]})[0]
    assert planes[0, 0].tolist() == [[1, 1, 1, 1], [-1, -1, 1, 1]]
    assert planes[1, 0].tolist() == [[1, 1, 0, 0], [-1, -1, 0, 0]]  # beyond 2.8 or -1.4
    assert planes[2, 0].tolist() == [[1, 1, 0, 1], [-1, -1, 0, 0]]  # beyond 2 or -1


def test_value_planes_of_zeros() -> None:
    planes = run(
        "value_planes",
        [("f32", np.zeros((2, 3), np.float32))],
        Value("ternary", (2, 3, 1, 2)),
        attrs={"factors": [0.7]},
    )[0]
    assert (planes[0] == 1).all()
    assert not planes[1].any()


def test_value_product_by_hand() -> None:
    masks = np.array([[[[1, 1, 0]]], [[[0, 0, 1]]]], np.bool_)  # [2, 1, 1, 3]
    planes = np.array([[[[1, -1, -1]]], [[[1, 0, 1]]]], np.int8)  # [2, 1, 1, 3]
    y = run(
        "value_product",
        [("mask", masks), ("ternary", planes)],
        Value("f32", (1, 1)),
        row_scale=f32([2], [10]),
        column_scale=f32(1, 100),
    )[0]
    assert y.tolist() == [[2 * (0 + 100 * 1) + 10 * (-1 + 100 * 1)]]


def baseline_masks(phase: int, patches: int, steepness: float) -> tuple[AnyArray, float, AnyArray]:
    table = np.exp(-steepness * np.arange(5)).astype(np.float32)
    outputs = (Value("mask", (1, 1, 2, 3)), Value("f32", (1,)))
    attrs = {"phase": phase, "patches": patches}
    masks, gamma = run("attention_masks_statistics", scores(), *outputs, attrs=attrs, table=table)
    return masks[0, 0], float(gamma[0]), softmax(table)


def test_gamma_of_phase_one_is_the_mean() -> None:
    masks, gamma, a = baseline_masks(1, 0, 1.0)
    assert gamma == pytest.approx(a.mean(), rel=1e-6)  # binary32 against binary64
    np.testing.assert_array_equal(masks, a > 0.5 * a.mean())


def test_gamma_of_phase_two_is_the_mean_of_the_large() -> None:
    masks, gamma, a = baseline_masks(2, 2, 1.0)
    assert (a > 0.5).sum() == 2
    assert gamma == pytest.approx(a[a > 0.5].mean(), rel=1e-6)
    np.testing.assert_array_equal(masks, a > 0.5 * gamma)


def test_gamma_of_phase_two_switches_back() -> None:
    _, with_few, a = baseline_masks(2, 3, 1.0)
    assert with_few == pytest.approx(a.mean(), rel=1e-6)
    _, with_none, flat = baseline_masks(2, 0, 0.01)
    assert (flat < 0.5).all()
    assert with_none == pytest.approx(flat.mean(), rel=1e-6)


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


def test_statistics_by_hand() -> None:
    assert run("statistics", [("f32", f32([1, -2], [3, -6]))], Value("f32", (2,)))[0].tolist() == [-1, 3]


def test_patch_conv_u8_visits_patches_row_by_row() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    weight = np.zeros((3, 2, 2, 3), np.int8)
    for channel in range(3):
        weight[channel, 1, 0, channel] = 1  # output c reads the lower left pixel's channel c
    y = run(
        "patch_conv_u8",
        [("u8", image)],
        Value("f32", (6, 3)),
        attrs={"patch": 2},
        weight=weight,
        scale=np.ones((3, 3), np.float32),
        bias=f32(0, 0, 0),
    )[0]
    np.testing.assert_array_equal(y.reshape(2, 3, 3), image[1::2, 0::2])


def test_ties_with_statistics() -> None:
    stats = f32([0.5, 2])[0]
    x = f32([0.25, 0.5, 1.5, 1.75])
    signs = run("sign_statistics", [("f32", x), ("f32", stats)], Value("sign", (1, 4)))[0]
    assert signs.tolist() == [[True, False, False, False]]  # below the mean
    masks = run("mask_statistics", [("f32", x), ("f32", stats)], Value("mask", (1, 4)))[0]
    assert masks.tolist() == [[False, False, False, True]]  # more than half of 2 above the mean


def test_ties_with_gamma() -> None:
    # Exponentials 1, 1/2, 1/4, 1/4 have the sum 2, so a = 1/2, 1/4, 1/8, 1/8 and gamma = 1/4.
    q = np.zeros((1, 1, 2), np.bool_)
    k = np.array([[[0, 0]], [[1, 0]], [[1, 1]], [[1, 1]]], np.bool_)
    outputs = (Value("mask", (1, 1, 1, 4)), Value("f32", (1,)))
    for phase in (1, 2):  # nothing exceeds 1/2, so that phase 2 takes the same gamma
        masks, gamma = run(
            "attention_masks_statistics",
            [("sign", q), ("sign", k)],
            *outputs,
            attrs={"phase": phase, "patches": 0},
            table=f32([1, 0.5, 0.25])[0],
        )
        assert gamma.tolist() == [0.25]
        assert masks.tolist() == [[[[True, True, False, False]]]]


@pytest.mark.parametrize("excess", [0, 1])
def test_limits_of_widths(excess: int) -> None:
    def within_limit(*args: Any, **kwargs: Any) -> None:
        if excess:
            with pytest.raises(OperandError, match="at most"):
                run(*args, **kwargs)
        else:
            run(*args, **kwargs)

    k = 32767 + excess
    bits = np.zeros((1, k), np.bool_)
    weight = np.zeros((1, 4096), np.uint8)
    within_limit("binary_linear", [("sign", bits)], Value("f32", (1, 1)), weight=weight, scale=f32(1), bias=f32(0))
    heads = [("sign", bits.reshape(1, 1, k))] * 2
    planes = {"planes": [["ones"]]}
    table = np.ones(k + 1, np.float32)
    within_limit("attention_masks", heads, Value("mask", (1, 1, 1, 1)), attrs=planes, table=table)
    k = 65536 + excess
    numbers = np.zeros(k, np.float32)
    within_limit(
        "linear_i8",
        [("f32", numbers[None])],
        Value("f32", (1, 1)),
        shift=numbers,
        step=f32(1),
        weight=np.zeros((1, k), np.int8),
        scale=f32(1),
        bias=f32(0),
    )
    attrs = {"grid": [1, 1], "kernel": 1, "dilation": 1, "groups": 1}
    bits = np.zeros((1, 32767 + excess), np.bool_)
    within_limit(
        "binary_conv",
        [("sign", bits)],
        Value("f32", (1, 1)),
        attrs=attrs,
        weight=weight[:, None],
        scale=f32(1),
        bias=f32(0),
    )


@pytest.mark.parametrize(("patches", "expected"), [(2, 1 / 1.7), (3, 1 / 3)])
def test_phase_two_counts_what_exceeds_half_of_the_new_gamma(patches: int, expected: float) -> None:
    # a = 0.588, 0.353, 0.059: only one value exceeds 1/2, but two exceed half of it.
    k = np.array([[[0, 0]], [[1, 0]], [[1, 1]]], np.bool_)
    gamma = run(
        "attention_masks_statistics",
        [("sign", np.zeros((1, 1, 2), np.bool_)), ("sign", k)],
        Value("mask", (1, 1, 1, 3)),
        Value("f32", (1,)),
        attrs={"phase": 2, "patches": patches},
        table=f32([1, 0.6, 0.1])[0],
    )[1]
    assert gamma[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("index", [-1, 3])
def test_gathered_rows_must_exist(index: int) -> None:
    rows = ("f32", np.zeros((3, 2), np.float32))
    with pytest.raises(TensorContentError, match="outside"):
        run("gather_rows", [rows], Value("f32", (1, 2)), index=np.array([index], np.int32))
