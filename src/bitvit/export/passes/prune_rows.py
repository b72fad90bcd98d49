"""Compute only the rows that reach the logits.

The heads read the class (and distillation) token alone, so in the last block queries, projection and MLP are needed
for those rows only; keys and values for all. The result is the same to the bit: rows never mix except in attention,
where the dropped rows are queries.
"""

from __future__ import annotations

from bitvit.export.graph import Graph, GraphOp
from bitvit.program import Value

_ROW_WISE = frozenset(
    {
        *("layer_norm", "add", "add_constant", "affine", "gelu", "rprelu", "sign", "mask", "layer_norm_sign"),
        *("linear_f32", "linear_i8", "binary_linear", "binary_linear_threshold"),
    }
)


def prune_rows(graph: Graph) -> None:
    """Shrink every value to the leading rows that are read, where that saves any."""
    needed = _needed_rows(graph)
    sliced: dict[tuple[str, int], str] = {}
    ops: list[GraphOp] = []
    for op in graph.ops:
        axis = _row_axis(graph, op)
        if axis is not None:
            rows = needed[op.outputs[0]]
            for position, name in enumerate(op.inputs):
                if _follows_rows(op, position):
                    op.inputs[position] = _leading_rows(graph, ops, sliced, name, rows)
            _shrink_tensors(op, rows, graph.values[op.outputs[0]].shape[axis])
            value = graph.values[op.outputs[0]]
            graph.values[op.outputs[0]] = Value(value.type, (*value.shape[:axis], rows, *value.shape[axis + 1 :]))
        ops.append(op)
    graph.ops = ops
    graph.remove_dead()


def _row_axis(graph: Graph, op: GraphOp) -> int | None:
    """Axis of the output along which rows are independent, or None.

    Masks relative to the maximum of the image need all rows, and masks cannot be sliced: their product keeps all rows,
    too.
    """
    if op.op in _ROW_WISE:
        return 0
    if op.op == "value_product":
        masks = graph.producer(op.inputs[0])
        return None if masks is None or _row_axis(graph, masks) is None else 0
    if op.op == "attention_masks" and not any(rule[0] == "image_max" for rule in op.attrs["planes"]):
        return 2
    return None


def _follows_rows(op: GraphOp, position: int) -> bool:
    """Whether an input is needed only for the rows that the output is needed for."""
    return position == 0 if op.op in ("attention_masks", "value_product") else op.op in _ROW_WISE


def _rows(graph: Graph, name: str) -> int:
    value = graph.values[name]
    return value.shape[2] if value.type == "mask" and len(value.shape) == 4 else value.shape[0]


def _needed_rows(graph: Graph) -> dict[str, int]:
    """For each value, how many leading rows some operator reads."""
    needed = {graph.output: _rows(graph, graph.output)}
    for op in reversed(graph.ops):
        follow = _row_axis(graph, op) is not None
        for position, name in enumerate(op.inputs):
            rows = _rows(graph, name)
            if follow and _follows_rows(op, position):
                rows = min(rows, needed.get(op.outputs[0], 0))
            elif op.op == "slice_rows":
                rows = int(op.attrs["stop"])
            needed[name] = max(needed.get(name, 0), rows)
    return needed


def _leading_rows(graph: Graph, ops: list[GraphOp], sliced: dict[tuple[str, int], str], name: str, rows: int) -> str:
    """`name`, or a `slice_rows` of its first rows where it has more."""
    value = graph.values[name]
    if _rows(graph, name) == rows:
        return name
    key = (name, rows)
    if key not in sliced:
        sliced[key] = graph.add_value(f"{name}_rows", value.type, (rows, *value.shape[1:]))
        ops.append(GraphOp("slice_rows", [name], [sliced[key]], {"start": 0, "stop": rows}))
    return sliced[key]


def _shrink_tensors(op: GraphOp, rows: int, full: int) -> None:
    """Constants that have one entry a row keep the leading ones."""
    if rows == full:
        return
    if op.op == "add_constant" and op.tensors["value"].ndim == 2:
        op.tensors["value"] = op.tensors["value"][:rows]
    if op.op == "attention_masks" and "offset" in op.tensors:
        op.tensors["offset"] = op.tensors["offset"][:, :rows]
