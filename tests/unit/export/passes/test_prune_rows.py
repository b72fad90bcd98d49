"""Pruning drops rows that never reach the logits and keeps the result the same to the bit."""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Graph, GraphOp
from bitvit.export.passes import prune_rows


def _residual_graph() -> Graph:
    """y = x + affine(x); logits = the first row of y, through a head."""
    graph = Graph("image")
    graph.add_value("x", "f32", (5, 4))
    for name in ("a", "y"):
        graph.add_value(name, "f32", (5, 4))
    graph.add_value("row", "f32", (1, 4))
    graph.add_value("logits", "f32", (1, 2))
    ones = np.ones(4, np.float32)
    position = np.arange(20, dtype=np.float32).reshape(5, 4)
    graph.ops = [
        GraphOp("constant", [], ["x"], {}, {"value": np.arange(20, dtype=np.float32).reshape(5, 4)}),
        GraphOp("add_constant", ["x"], ["a"], {}, {"value": position}),
        GraphOp("add", ["x", "a"], ["y"]),
        GraphOp("slice_rows", ["y"], ["row"], {"start": 0, "stop": 1}),
        GraphOp("linear_f32", ["row"], ["logits"], {}, {"weight": np.ones((2, 4), np.float32), "bias": ones[:2]}),
    ]
    graph.output = "logits"
    return graph


def test_only_the_rows_that_are_read_are_computed() -> None:
    graph = _residual_graph()
    prune_rows(graph)
    assert graph.values["a"].shape == (1, 4)
    assert graph.values["y"].shape == (1, 4)
    constant = next(op for op in graph.ops if op.op == "add_constant")
    np.testing.assert_array_equal(constant.tensors["value"], [[0, 1, 2, 3]])
    assert graph.values["x"].shape == (5, 4), "a value that is not row-wise keeps its rows"


def test_nothing_changes_where_all_rows_are_read() -> None:
    graph = _residual_graph()
    graph.ops[3] = GraphOp("mean_rows", ["y"], ["row"])
    before = [(op.op, list(op.inputs)) for op in graph.ops]
    prune_rows(graph)
    assert [(op.op, op.inputs) for op in graph.ops] == before


def _attention_graph(rule: str) -> Graph:
    """Masks of 5 queries and keys, and the first row of their product with the values."""
    graph = Graph("image")
    for name in ("q", "k"):
        graph.add_value(name, "sign", (5, 2, 4))
    graph.add_value("v", "ternary", (1, 2, 4, 5))
    graph.add_value("masks", "mask", (1, 2, 5, 5))
    graph.add_value("y", "f32", (5, 8))
    graph.add_value("row", "f32", (1, 8))
    graph.ops = [
        GraphOp("attention_masks", ["q", "k"], ["masks"], {"planes": [[rule, 0.5]]}),
        GraphOp("value_product", ["masks", "v"], ["y"]),
        GraphOp("slice_rows", ["y"], ["row"], {"start": 0, "stop": 1}),
    ]
    graph.output = "row"
    return graph


def test_masks_of_the_first_row_need_only_its_query() -> None:
    graph = _attention_graph("row_max")
    prune_rows(graph)
    assert graph.values["masks"].shape == (1, 2, 1, 5)
    assert graph.values["y"].shape == (1, 8)


def test_masks_relative_to_the_whole_image_keep_every_row() -> None:
    graph = _attention_graph("image_max")
    prune_rows(graph)
    assert [op.op for op in graph.ops] == ["attention_masks", "value_product", "slice_rows"]
    assert graph.values["masks"].shape == (1, 2, 5, 5)
    assert graph.values["y"].shape == (5, 8)
