"""LayerNorm folded into the sign behind it: weights of 1 and -1, and the bit of the float formula."""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Graph, GraphOp
from bitvit.export.passes import fuse_norm_sign


def _graph(weight: list[float], bias: list[float], threshold: list[float]) -> Graph:
    graph = Graph("x")
    graph.add_value("x", "f32", (3, len(weight)))
    graph.add_value("y", "f32", (3, len(weight)))
    graph.add_value("bits", "sign", (3, len(weight)))
    parameters = {"weight": np.array(weight, np.float32), "bias": np.array(bias, np.float32)}
    graph.ops.append(GraphOp("layer_norm", ["x"], ["y"], {"eps": 1e-6}, parameters))
    graph.ops.append(GraphOp("sign", ["y"], ["bits"], {}, {"threshold": np.array(threshold, np.float32)}))
    graph.output = "bits"
    return graph


def test_weights_become_signs_and_the_bit_stays() -> None:
    weight, bias, threshold = (
        [0.5, -2.0, 0.0, -0.0, 1e-38, 1e-38],
        [0.25, 1.0, -1.0, 1.0, 0.0, 1.0],
        [1.0, 2.0] + [0.0] * 4,
    )
    graph = _graph(weight, bias, threshold)
    fuse_norm_sign(graph)
    (op,) = graph.ops
    assert op.op == "layer_norm_sign"
    np.testing.assert_array_equal(op.tensors["weight"], np.array([1, -1, 0, 0, 1, 1e-38], np.float32))
    assert np.isfinite(op.tensors["threshold"]).all()
    d = np.random.default_rng(0).standard_normal((1000, 6))
    expected = d / 1.5 * np.array(weight, np.float32) + np.array(bias) < np.array(threshold)
    found = d * op.tensors["weight"] < op.tensors["threshold"].astype(np.float64) * 1.5
    np.testing.assert_array_equal(found, expected)


def test_layers_with_different_weights_of_one_sign_share_them() -> None:
    first, second = _graph([0.5, 2.0], [0.0, 1.0], [0.0, 0.0]), _graph([3.0, 4.0], [1.0, 2.0], [0.5, 0.0])
    for op in second.ops:
        op.inputs = [f"{name}2" for name in op.inputs]
        op.outputs = [f"{name}2" for name in op.outputs]
    first.values |= {f"{name}2": value for name, value in second.values.items()}
    first.ops += second.ops
    first.add_value("out", "sign", (3, 2))
    first.ops.append(GraphOp("keep", ["bits", "bits2"], ["out"]))
    first.output = "out"
    fuse_norm_sign(first)
    program, tensors = first.finish()
    names = [op.tensors["weight"] for op in program.ops if op.op == "layer_norm_sign"]
    assert len(names) == 2 and names[0] == names[1]
    assert len(tensors) == 3, "two thresholds and one weight"
