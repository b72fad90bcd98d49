"""Fold a channel-wise `affine` or `add_constant` after a product into the product's scale and bias.

`(z scale + bias) s + b = z (scale s) + (bias s + b)`: a BatchNorm, a LayerScale or a bias that follows a linear layer
costs nothing in the packed model. The folded constants are computed in float64 and rounded once.
"""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Graph, GraphOp

_PRODUCTS = ("binary_linear", "linear_i8")


def fold_channel_constants(graph: Graph) -> None:
    """Fold until nothing changes."""
    for product in [op for op in graph.ops if op.op in _PRODUCTS]:
        follower = _follower(graph, product)
        while follower is not None:
            _fold(product, follower)
            graph.replace_uses(follower.outputs[0], product.outputs[0])
            graph.remove(follower)
            follower = _follower(graph, product)
    graph.remove_dead()


def _follower(graph: Graph, product: GraphOp) -> GraphOp | None:
    reader = graph.only_consumer(product.outputs[0])
    if reader is None or reader.op not in ("affine", "add_constant"):
        return None
    return None if reader.op == "add_constant" and reader.tensors["value"].ndim != 1 else reader


def _fold(product: GraphOp, follower: GraphOp) -> None:
    scale = follower.tensors["scale"].astype(np.float64) if follower.op == "affine" else np.float64(1.0)
    bias = follower.tensors["bias" if follower.op == "affine" else "value"].astype(np.float64)
    product.tensors["bias"] = (product.tensors["bias"].astype(np.float64) * scale + bias).astype(np.float32)
    product.tensors["scale"] = (product.tensors["scale"].astype(np.float64) * scale).astype(np.float32)
