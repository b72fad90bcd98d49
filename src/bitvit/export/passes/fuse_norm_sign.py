"""LayerNorm whose only reader is a sign: compare, do not normalize.

`(d / s) w + b < t` is `d w < (t - b) s` since s > 0: no division for each element and no second pass. Dividing by |w|
leaves a weight of 1 or -1: as a rule it is 1 throughout, and layers whose weights are equal share one tensor.
"""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Graph

_LARGEST = 1e30  # of the thresholds that the division may give


def fuse_norm_sign(graph: Graph) -> None:
    """Replace each `layer_norm` + `sign` pair by `layer_norm_sign`."""
    for norm in [op for op in graph.ops if op.op == "layer_norm"]:
        sign = graph.only_consumer(norm.outputs[0])
        if sign is None or sign.op != "sign":
            continue
        weight = norm.tensors["weight"].astype(np.float64)
        threshold = sign.tensors["threshold"].astype(np.float64) - norm.tensors["bias"].astype(np.float64)
        size = np.where(np.abs(weight) * _LARGEST > np.abs(threshold), np.abs(weight), 1.0)
        sign.op = "layer_norm_sign"
        sign.inputs = list(norm.inputs)
        sign.attrs = {"eps": norm.attrs["eps"]}
        sign.tensors = {
            "weight": (weight / size).astype(np.float32),
            "threshold": (threshold / size).astype(np.float32),
        }
        graph.remove(norm)
    graph.remove_dead()
