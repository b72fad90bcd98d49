"""Binary product whose only reader takes one bit of it: one integer comparison, no float.

The bit is a function of the popcount p in 0..K alone, so it is tabulated for every p and channel, with GELU between
where there is one: `sign(scale z + bias)`, `1{gelu(scale z + bias) > t}`. The set of p where the bit is 1 is an
interval or the complement of one (GELU falls, then rises), stored as `low <= p <= high` and a flip (docs/format.md,
`binary_linear_threshold`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.errors import ExportError
from bitvit.export.graph import Graph, GraphOp

_ERF = np.vectorize(math.erf, otypes=[np.float64])


def fuse_thresholds(graph: Graph) -> None:
    """Replace `binary_linear` (+ `gelu`) + `sign` or `mask` by `binary_linear_threshold`."""
    for product in [op for op in graph.ops if op.op == "binary_linear"]:
        chain = [product]
        reader = graph.only_consumer(product.outputs[0])
        if reader is not None and reader.op == "gelu":
            chain.append(reader)
            reader = graph.only_consumer(reader.outputs[0])
        if reader is None or reader.op not in ("sign", "mask"):
            continue
        bits = _bit_of_popcount(graph, product, reader, gelu=len(chain) == 2)
        low, high, flip = intervals(bits)
        reader.op = "binary_linear_threshold"
        reader.inputs = list(product.inputs)
        reader.attrs = {}
        reader.tensors = {"weight": product.tensors["weight"], "low": low, "high": high, "flip": flip}
        reader.scope = product.scope
        for op in chain:
            graph.remove(op)
    graph.remove_dead()


def _bit_of_popcount(graph: Graph, product: GraphOp, reader: GraphOp, gelu: bool) -> npt.NDArray[np.bool_]:
    """The bit for each channel and popcount, bool `[O, K+1]`, in float64."""
    source = graph.values[product.inputs[0]]
    n_inputs = source.shape[-1]
    popcounts = np.arange(n_inputs + 1, dtype=np.float64)
    weight = product.tensors["weight"]
    if source.type == "mask":
        negatives = np.unpackbits(weight, axis=-1, bitorder="little").sum(axis=-1, dtype=np.int64)
        z = popcounts[None, :] - negatives[:, None]
    else:
        z = np.broadcast_to(n_inputs - 2.0 * popcounts, (len(weight), n_inputs + 1))
    y = z * product.tensors["scale"].astype(np.float64)[:, None] + product.tensors["bias"].astype(np.float64)[:, None]
    if gelu:
        y = y * 0.5 * (1.0 + _ERF(y / math.sqrt(2.0)))
    threshold = reader.tensors["threshold"].astype(np.float64)[:, None]
    bits: npt.NDArray[np.bool_] = y < threshold if reader.op == "sign" else y > threshold
    return bits


def intervals(bits: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """`low`, `high` (int16) and `flip` (uint8), each `[O]`, such that `bits[o,p] = (low <= p <= high) xor flip`.

    Channels whose bit never changes are written such that as many entries as possible of one of the three are equal:
    tensors that are equal throughout are stored once.

    Raises:
        ExportError: a row is neither an interval nor the complement of one.
    """
    n_channels, n_values = bits.shape
    edges = (bits[:, 1:] != bits[:, :-1]).sum(axis=1)
    if (edges > 2).any():
        raise ExportError("a folded activation has more than two thresholds")
    flip = bits[:, 0] & bits[:, -1] & (edges > 0)
    inside = bits ^ flip[:, None]
    some = inside.any(axis=1)
    low = np.where(some, inside.argmax(axis=1), 0)
    high = np.where(some, n_values - 1 - inside[:, ::-1].argmax(axis=1), -1)
    if 2 * (high[some] == n_values - 1).sum() > some.sum() and n_values <= np.iinfo(np.int16).max:
        low, high = np.where(some, low, n_values), np.where(some, high, n_values - 1)
    assert low.shape == (n_channels,)
    return low.astype(np.int16), high.astype(np.int16), flip.astype(np.uint8)
