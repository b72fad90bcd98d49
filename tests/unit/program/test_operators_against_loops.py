"""The vectorized interpreter against loops over single numbers, bit for bit, for every operator."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import OPERATORS, run_operator
from tests.support.loop_reference import LOOPS
from tests.support.operator_cases import OPERATOR_CASES, operator_case

SEEDS = range(12)


def test_every_operator_has_cases_and_loops() -> None:
    assert set(OPERATORS) == set(OPERATOR_CASES) == set(LOOPS)


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_interpreter_equals_loops(kind: str) -> None:
    for seed in SEEDS:
        case = operator_case(kind, seed)
        results = run_operator(kind, case.inputs, case.input_values, case.output_values, case.attrs, case.tensors)
        expected = LOOPS[kind](case)
        assert len(results) == len(expected) == len(case.output_values)
        for result, wanted, value in zip(results, expected, case.output_values, strict=True):
            assert result.shape == value.shape, f"{kind}, seed {seed}"
            assert result.dtype == wanted.dtype, f"{kind}, seed {seed}"
            np.testing.assert_array_equal(result, wanted, err_msg=f"{kind}, seed {seed}")
            assert result.tobytes() == wanted.tobytes(), f"{kind}, seed {seed}: the sign of a zero differs"
