"""Fold a channel-wise affine operator after a product into the product's scale and bias.

`(z scale + bias) s + b = z (scale s) + (bias s + b)`: a BatchNorm, a LayerScale or a bias that follows a linear layer
costs nothing in the packed model. The folded constants are computed in float64 and rounded once.
"""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Array, Graph, GraphOp
from bitvit.program import declarations


def fold_channel_constants(graph: Graph) -> None:
    """Fold until nothing changes."""
    for product in [op for op in graph.ops if declarations()[op.op].is_foldable]:
        while (found := _follower(graph, product)) is not None:
            follower, scale, bias = found
            product.tensors["bias"] = (product.tensors["bias"].astype(np.float64) * scale + bias).astype(np.float32)
            product.tensors["scale"] = (product.tensors["scale"].astype(np.float64) * scale).astype(np.float32)
            graph.replace_uses(follower.outputs[0], product.outputs[0])
            graph.remove(follower)
    graph.remove_dead()


def _follower(graph: Graph, product: GraphOp) -> tuple[GraphOp, Array, Array] | None:
    """The only reader of the product if it is channel-wise affine, with its scale and bias."""
    reader = graph.only_consumer(product.outputs[0])
    if reader is None:
        return None
    constants = declarations()[reader.op].channel_affine(reader.tensors)
    return None if constants is None else (reader, *constants)
