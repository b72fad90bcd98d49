"""Every operator of the interpreter against loops over single numbers, bit for bit, and what must be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitvit.program import OPERATORS, OperandError, ProgramError, Value, run_operator
from bitvit.program.schema import AnyArray
from tests.support.by_hand import numbers, run
from tests.support.operator_cases import OperatorCase
from tests.support.operator_homes import EDGES, LOOPS, REFUSED, operator_case

SEEDS = range(12)


def results_of(case: OperatorCase) -> list[AnyArray]:
    return run_operator(case.kind, case.inputs, case.input_values, case.output_values, case.attrs, case.tensors)


def assert_equals_loop(case: OperatorCase, where: str) -> None:
    with np.errstate(invalid="ignore"):
        results, expected = results_of(case), LOOPS[case.kind](case)
    assert len(results) == len(expected) == len(case.output_values)
    for result, wanted, value in zip(results, expected, case.output_values, strict=True):
        assert result.shape == wanted.shape == value.shape, where
        assert result.dtype == wanted.dtype, where
        np.testing.assert_array_equal(result, wanted, err_msg=where)
        assert result.tobytes() == wanted.tobytes(), f"{where}: the sign of a zero differs"


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_interpreter_equals_loops(kind: str) -> None:
    for seed in SEEDS:
        assert_equals_loop(operator_case(kind, seed), f"{kind}, seed {seed}")


@pytest.mark.parametrize("name", EDGES)
def test_edges_equal_loops(name: str) -> None:
    for seed in range(3):
        assert_equals_loop(EDGES[name](np.random.default_rng(seed)), f"{name}, seed {seed}")


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named(name: str) -> None:
    error, case = REFUSED[name]
    with pytest.raises(ProgramError) as caught:
        results_of(case)
    assert type(caught.value).__name__ == error


@pytest.mark.parametrize("excess", [0, 1])
def test_limits_of_widths(excess: int) -> None:
    def within_limit(*args: Any, **kwargs: Any) -> None:
        if excess:
            with pytest.raises(OperandError, match="at most"):
                run(*args, **kwargs)
        else:
            run(*args, **kwargs)

    one, zero = numbers(1), numbers(0)
    k = 32767 + excess
    bits = np.zeros((1, k), np.bool_)
    weight = np.zeros((1, 4096), np.uint8)
    within_limit("binary_linear", [("sign", bits)], Value("f32", (1, 1)), weight=weight, scale=one, bias=zero)
    heads = [("sign", bits.reshape(1, 1, k))] * 2
    planes = {"planes": [["ones"]]}
    table = np.ones(k + 1, np.float32)
    within_limit("attention_masks", heads, Value("mask", (1, 1, 1, 1)), attrs=planes, table=table)
    k = 65536 + excess
    zeros = np.zeros(k, np.float32)
    within_limit(
        "linear_i8",
        [("f32", zeros[None])],
        Value("f32", (1, 1)),
        shift=zeros,
        step=one,
        weight=np.zeros((1, k), np.int8),
        scale=one,
        bias=zero,
    )
    attrs = {"grid": [1, 1], "kernel": 1, "dilation": 1, "groups": 1}
    bits = np.zeros((1, 32767 + excess), np.bool_)
    within_limit(
        "binary_conv",
        [("sign", bits)],
        Value("f32", (1, 1)),
        attrs=attrs,
        weight=weight[:, None],
        scale=one,
        bias=zero,
    )
