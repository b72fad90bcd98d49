"""Operators on grids in the engine: chosen edges, the sizes of real networks, and the interpreter's error classes."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit import _core
from bitvit.runtime import available_isas
from tests.support.engine_comparison import build, check_case
from tests.support.grid_edges import GRID_EDGES, REFUSED, conv_case, pool_case, stencil_case

ISAS = available_isas()


@pytest.mark.parametrize("name", GRID_EDGES)
def test_edges(name: str) -> None:
    for seed in range(3):
        check_case(GRID_EDGES[name](np.random.default_rng(seed)), ISAS, f"{name}, seed {seed}")


@pytest.mark.parametrize(("side", "channels"), [(56, 64), (28, 128), (14, 256)])
@pytest.mark.parametrize("dilation", [1, 3, 5])
def test_convolutions_of_bhvit_small(side: int, channels: int, dilation: int) -> None:
    case = conv_case(np.random.default_rng(side), (side, side), channels, channels, 4, 3, dilation)
    check_case(case, ISAS, f"{side} x {side} x {channels}")


def test_branches_of_bhvit_small() -> None:
    column = [[0, 0], [-1, 0], [1, 0], [-2, 0], [2, 0]]
    check_case(stencil_case(np.random.default_rng(0), (56, 56), 64, [column], True, 5), ISAS, "column")
    quarters = [[[-2, 0]], [[2, 0]], [[0, -2]], [[0, 2]]]
    check_case(stencil_case(np.random.default_rng(0), (14, 14), 256, quarters, True, 1), ISAS, "quarters")


def test_pools_of_binaryvit_small() -> None:
    check_case(pool_case(np.random.default_rng(0), (56, 56), 64, "average", 8, 8, 0), ISAS, "reduction")


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_named_as_by_the_interpreter(name: str) -> None:
    error, case = REFUSED[name]
    with pytest.raises(_core.EngineError) as caught:
        build(case, 1, "")
    assert type(caught.value).__name__ == error
    assert f"({case.kind})" in str(caught.value)
