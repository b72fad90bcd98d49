"""Operators on grids in the interpreter: chosen edges against loops, examples by hand, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import ProgramError, Value, pack_bits, run_operator
from bitvit.program.schema import AnyArray
from tests.support.grid_edges import GRID_EDGES, REFUSED
from tests.support.loop_reference import LOOPS
from tests.support.operator_bases import OperatorCase


def run(case: OperatorCase) -> AnyArray:
    (result,) = run_operator(case.kind, case.inputs, case.input_values, case.output_values, case.attrs, case.tensors)
    return result


@pytest.mark.parametrize("name", GRID_EDGES)
def test_edges_equal_loops(name: str) -> None:
    for seed in range(3):
        case = GRID_EDGES[name](np.random.default_rng(seed))
        result, (expected,) = run(case), LOOPS[case.kind](case)
        assert result.dtype == expected.dtype and result.shape == expected.shape, f"seed {seed}"
        assert result.tobytes() == expected.tobytes(), f"seed {seed}"


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named(name: str) -> None:
    error, case = REFUSED[name]
    with pytest.raises(ProgramError) as caught:
        run(case)
    assert type(caught.value).__name__ == error


def one_channel(kind: str, x: list[float], attrs: dict[str, object], n_outputs: int) -> list[float]:
    column = np.array(x, np.float32).reshape(-1, 1)
    values = [Value("f32", column.shape)], [Value("f32", (n_outputs, 1))]
    return [float(y) for y in run(OperatorCase(kind, [column], *values, attrs)).ravel()]


def test_stencil_wraps_or_meets_zeros() -> None:
    attrs = {"grid": [2, 3], "groups": [[[0, 1]]], "wrap": True, "divisor": 1}
    assert one_channel("stencil", [1, 2, 3, 4, 5, 6], attrs, 6) == [2, 3, 1, 5, 6, 4]
    attrs["wrap"] = False
    assert one_channel("stencil", [1, 2, 3, 4, 5, 6], attrs, 6) == [2, 3, 0, 5, 6, 0]


def test_stencil_adds_in_the_order_of_its_taps() -> None:
    # 1e8 swallows 1: only the order (1e8 - 1e8) + 1 keeps it.
    attrs = {"grid": [1, 3], "groups": [[[0, 0], [0, 1], [0, 2]]], "wrap": True, "divisor": 1}
    assert one_channel("stencil", [1e8, -1e8, 1.0], attrs, 3) == [1.0, 0.0, 0.0]


def test_average_pool_divides_by_the_kernel_even_at_the_edge() -> None:
    attrs = {"grid": [2, 2], "kind": "average", "kernel": 3, "stride": 1, "padding": 1}
    assert one_channel("pool", [9, 18, 27, 36], attrs, 4) == [10, 10, 10, 10]


def test_max_pool_ignores_what_is_outside() -> None:
    attrs = {"grid": [2, 2], "kind": "max", "kernel": 3, "stride": 2, "padding": 1}
    assert one_channel("pool", [-4, -3, -2, -1], attrs, 1) == [-1]


def test_binary_conv_outside_counts_nothing() -> None:
    x, weight = np.array([[False], [True]]), np.zeros((1, 9, 1), bool)  # +1, -1; all weights +1
    case = OperatorCase(
        "binary_conv",
        [x],
        [Value("sign", (2, 1))],
        [Value("f32", (2, 1))],
        {"grid": [1, 2], "kernel": 3, "dilation": 1, "groups": 1},
        {"weight": pack_bits(weight), "scale": np.array([2], np.float32), "bias": np.array([0.5], np.float32)},
    )
    assert run(case).ravel().tolist() == [0.5, 0.5]
    case.attrs["dilation"] = 2
    assert run(case).ravel().tolist() == [2.5, -1.5]
