"""Every operator in the engine equals the NumPy interpreter bit for bit, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import ProgramError
from bitvit.runtime import available_isas
from tests.support.engine_comparison import build, check_case
from tests.support.operator_homes import CASES, EDGES, LARGE, REFUSED, operator_case

ISAS = available_isas()


@pytest.mark.parametrize("kind", sorted(CASES))
def test_random_cases(kind: str) -> None:
    for seed in range(25):
        check_case(operator_case(kind, seed), ISAS, f"{kind}, seed {seed}")


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    for seed in range(3):
        check_case(EDGES[name](np.random.default_rng(seed)), ISAS, f"{name}, seed {seed}")


@pytest.mark.parametrize("name", LARGE)
def test_real_sizes(name: str) -> None:
    check_case(LARGE[name](np.random.default_rng(0)), ISAS, name)


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named_as_by_the_interpreter(name: str) -> None:
    error, case = REFUSED[name]
    with pytest.raises(ProgramError) as caught:
        build(case, 1, "")
    assert type(caught.value).__name__ == error
    assert f"({case.kind})" in str(caught.value)
