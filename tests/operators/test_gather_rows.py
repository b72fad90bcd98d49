"""gather_rows: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import TensorContentError, Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import run
from tests.support.operator_cases import OperatorCase, Rng, int32, one_value, random_channels, rows_case, rows_of


def case_gather_rows(rng: Rng) -> OperatorCase:
    n, c, type = int(rng.integers(1, 20)), random_channels(rng), str(rng.choice(["f32", "sign"]))
    index = rng.integers(0, n, int(rng.integers(1, 30)), dtype=np.int32)
    return one_value("gather_rows", rows_of(rng, type, n, c), type, (len(index), c), {}, {"index": index})


def loop_gather_rows(c: OperatorCase) -> list[AnyArray]:
    return [np.array([c.inputs[0][int(i)] for i in c.tensors["index"]])]


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "index beyond the rows": ("TensorContentError", rows_case("gather_rows", (3, 2), (1, 2), index=int32(3))),
    "negative index": ("TensorContentError", rows_case("gather_rows", (3, 2), (1, 2), index=int32(-1))),
    "index of another type": ("TensorTypeError", rows_case("gather_rows", (3, 2), (1, 2), index=np.zeros(1, np.int8))),
    "index of two axes": ("TensorShapeError", rows_case("gather_rows", (3, 2), (1, 2), index=int32(0).reshape(1, 1))),
}


@pytest.mark.parametrize("index", [-1, 3])
def test_gathered_rows_must_exist(index: int) -> None:
    rows = ("f32", np.zeros((3, 2), np.float32))
    with pytest.raises(TensorContentError, match="outside"):
        run("gather_rows", [rows], Value("f32", (1, 2)), index=np.array([index], np.int32))
