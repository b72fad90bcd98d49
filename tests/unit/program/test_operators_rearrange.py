"""Operators that move rows and channels, in the interpreter: small examples by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitvit.program import Value, run_operator
from bitvit.program.schema import AnyArray


def run(kind: str, x: AnyArray, shape: tuple[int, ...], attrs: dict[str, Any], **tensors: AnyArray) -> list[Any]:
    type = "sign" if x.dtype == np.bool_ else "f32"
    (result,) = run_operator(kind, [x], [Value(type, x.shape)], [Value(type, shape)], attrs, tensors)  # type: ignore[arg-type]
    assert result.dtype == x.dtype and result.shape == shape
    return list(result.tolist())


def counted(*shape: int) -> AnyArray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_upsample_repeats_cells() -> None:
    found = run("upsample", counted(4, 1), (16, 1), {"grid": [2, 2], "factor": 2})
    assert [row[0] for row in found] == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]


@pytest.mark.parametrize("as_bits", [False, True])
def test_merge_patches_goes_through_a_patch_by_rows(as_bits: bool) -> None:
    x = counted(8, 2)  # a grid of 2 x 4
    expected = np.array([[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]], np.float32)
    if as_bits:
        x, expected = x % 3 == 0, expected % 3 == 0
    assert run("merge_patches", x, (2, 8), {"grid": [2, 4], "patch": 2}) == expected.tolist()


def test_gather_rows_repeats_and_leaves_out() -> None:
    found = run("gather_rows", counted(3, 2), (4, 2), {}, index=np.array([2, 0, 0, 2], np.int32))
    assert found == [[4, 5], [0, 1], [0, 1], [4, 5]]


def test_repeat_channels_repeats_the_whole_row() -> None:
    assert run("repeat_channels", counted(2, 2), (2, 4), {"times": 2}) == [[0, 1, 0, 1], [2, 3, 2, 3]]


def test_mean_channels_adds_neighbours_in_order() -> None:
    x = np.array([[1e8, -1e8, 1, 3, 5, 8]], np.float32)
    assert run("mean_channels", x, (1, 2), {"group": 3}) == [[np.float32(1 / 3), np.float32(16 / 3)]]


def test_reshape_rows_keeps_the_order() -> None:
    assert run("reshape_rows", counted(2, 3), (3, 2), {"rows": 3}) == [[0, 1], [2, 3], [4, 5]]


def test_windows_become_heads_and_back() -> None:
    x = counted(4, 2)  # two windows of two rows
    heads = run("windows_to_heads", x, (2, 4), {"windows": 2})
    assert heads == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert run("heads_to_windows", np.array(heads, np.float32), (4, 2), {"windows": 2}) == x.tolist()


def test_windows_of_bits_become_heads() -> None:
    x = counted(4, 1, 3) % 2 == 1
    expected = [[x[0, 0].tolist(), x[2, 0].tolist()], [x[1, 0].tolist(), x[3, 0].tolist()]]
    assert run("windows_to_heads", x, (2, 2, 3), {"windows": 2}) == expected
