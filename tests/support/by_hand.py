"""For results of operators that are worked out by hand or in binary64."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitvit.program import Value, run_operator
from bitvit.program.schema import AnyArray

from .operator_cases import OperatorCase


def numbers(*values: Any) -> AnyArray:
    return np.array(values, np.float32)


def run(
    kind: str, inputs: list[tuple[str, AnyArray]], *outputs: Value, attrs: dict[str, Any] | None = None, **tensors: Any
) -> list[AnyArray]:
    values = [Value(type, array.shape) for type, array in inputs]  # type: ignore[arg-type]
    return run_operator(kind, [array for _, array in inputs], values, outputs, attrs, tensors)


def run_case(case: OperatorCase) -> AnyArray:
    (result,) = run_operator(case.kind, case.inputs, case.input_values, case.output_values, case.attrs, case.tensors)
    return result


def one_channel(kind: str, x: list[float], attrs: dict[str, object], n_outputs: int) -> list[float]:
    column = np.array(x, np.float32).reshape(-1, 1)
    values = [Value("f32", column.shape)], [Value("f32", (n_outputs, 1))]
    return [float(y) for y in run_case(OperatorCase(kind, [column], *values, attrs)).ravel()]


def scores(*, equal: bool = False) -> list[tuple[str, AnyArray]]:
    """One head of width 4, two queries, three keys; popcounts [[0, 1, 4], [4, 3, 0]] unless all are equal."""
    q = np.array([[[0, 0, 0, 0]], [[1, 1, 1, 1]]], np.bool_)
    k = np.array([[[0, 0, 0, 0]], [[1, 0, 0, 0]], [[1, 1, 1, 1]]], np.bool_)
    return [("sign", q), ("sign", k & (not equal))]


def softmax(table: AnyArray) -> AnyArray:
    e = table.astype(np.float64)[[[0, 1, 4], [4, 3, 0]]]
    return e / e.sum(-1, keepdims=True)


TABLE = np.exp(-np.arange(5) / 3).astype(np.float32)
