"""A folded threshold takes the same bit as the float formula, for every popcount a channel can have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bitvit.export import ExportError
from bitvit.export.graph import Graph, GraphOp
from bitvit.export.passes import fuse_thresholds
from bitvit.export.passes.fuse_thresholds import intervals


def _graph(kind: str, reader: str, gelu: bool, n_inputs: int, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    n_outputs = 11
    graph = Graph("image")
    graph.add_value("x", kind, (3, n_inputs))
    graph.add_value("y", "f32", (3, n_outputs))
    graph.add_value("g", "f32", (3, n_outputs))
    graph.add_value("bits", "sign" if reader == "sign" else "mask", (3, n_outputs))
    scale = rng.normal(size=n_outputs).astype(np.float32) * 0.1
    scale[0] = 0.0
    tensors = {
        "weight": np.packbits(rng.integers(0, 2, (n_outputs, n_inputs), dtype=np.uint8), axis=-1, bitorder="little"),
        "scale": scale,
        "bias": rng.normal(size=n_outputs).astype(np.float32),
    }
    graph.ops.append(GraphOp("binary_linear", ["x"], ["y"], {}, tensors))
    if gelu:
        graph.ops.append(GraphOp("gelu", ["y"], ["g"]))
    threshold = rng.uniform(-0.3, 0.3, n_outputs).astype(np.float32)
    graph.ops.append(GraphOp(reader, ["g" if gelu else "y"], ["bits"], {}, {"threshold": threshold}))
    graph.input, graph.output = "x", "bits"
    return graph


@pytest.mark.parametrize("kind", ["sign", "mask"])
@pytest.mark.parametrize(("reader", "gelu"), [("sign", False), ("mask", False), ("mask", True), ("sign", True)])
@pytest.mark.parametrize("n_inputs", [1, 20, 65])
def test_threshold_gives_the_bit_of_the_float_formula(kind: str, reader: str, gelu: bool, n_inputs: int) -> None:
    graph = _graph(kind, reader, gelu, n_inputs, seed=n_inputs)
    linear, threshold = graph.ops[0], graph.ops[-1].tensors["threshold"]
    weight = np.unpackbits(linear.tensors["weight"], axis=-1, count=n_inputs, bitorder="little").astype(int)
    fuse_thresholds(graph)
    assert [op.op for op in graph.ops] == ["binary_linear_threshold"]
    fused = graph.ops[0].tensors
    for channel in range(len(weight)):
        for p in range(n_inputs + 1):
            z = n_inputs - 2 * p if kind == "sign" else p - weight[channel].sum()
            y = z * float(linear.tensors["scale"][channel]) + float(linear.tensors["bias"][channel])
            y = y * 0.5 * (1 + math.erf(y / math.sqrt(2))) if gelu else y
            expected = y < threshold[channel] if reader == "sign" else y > threshold[channel]
            found = (fused["low"][channel] <= p <= fused["high"][channel]) ^ bool(fused["flip"][channel])
            assert found == expected, (channel, p)


def test_product_with_two_readers_stays() -> None:
    graph = _graph("sign", "sign", False, 20, seed=1)
    graph.add_value("sum", "f32", (3, 11))
    graph.ops.append(GraphOp("add", ["y", "y"], ["sum"]))
    graph.output = "sum"
    fuse_thresholds(graph)
    assert [op.op for op in graph.ops] == ["binary_linear", "add"]


def test_intervals_of_all_shapes_of_rows() -> None:
    rows = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]], bool)
    low, high, flip = intervals(rows)
    p = np.arange(4)
    found = ((low[:, None] <= p) & (p <= high[:, None])) ^ flip.astype(bool)[:, None]
    np.testing.assert_array_equal(found, rows)


def test_three_thresholds_are_refused() -> None:
    with pytest.raises(ExportError, match="two thresholds"):
        intervals(np.array([[0, 1, 0, 1]], bool))
