"""LayerNorm whose only reader is a sign: compare, do not normalize.

`(d / s) w + b < t` is `d w < (t - b) s` since s > 0: no division for each element and no second pass.
"""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Graph


def fuse_norm_sign(graph: Graph) -> None:
    """Replace each `layer_norm` + `sign` pair by `layer_norm_sign`."""
    for norm in [op for op in graph.ops if op.op == "layer_norm"]:
        sign = graph.only_consumer(norm.outputs[0])
        if sign is None or sign.op != "sign":
            continue
        threshold = sign.tensors["threshold"].astype(np.float64) - norm.tensors["bias"].astype(np.float64)
        sign.op = "layer_norm_sign"
        sign.inputs = list(norm.inputs)
        sign.attrs = {"eps": norm.attrs["eps"]}
        sign.tensors = {"weight": norm.tensors["weight"], "threshold": threshold.astype(np.float32)}
        graph.remove(norm)
    graph.remove_dead()
