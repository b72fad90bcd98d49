"""Compute only the rows that reach the logits.

The heads read the class (and distillation) token alone, so in the last block queries, projection and MLP are needed
for those rows only; keys and values for all. The result is the same to the bit: rows never mix except in attention,
where the dropped rows are queries.
"""

from __future__ import annotations

import numpy as np

from bitvit.export.graph import Graph, GraphOp
from bitvit.program import Value, declarations

_SLICED_AXES = {"f32": (2,), "sign": (2, 3), "mask": (2, 3)}  # numbers of axes of values that `slice_rows` takes


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
                if _input_axis(op, position) is not None:
                    op.inputs[position] = _leading_rows(graph, ops, sliced, name, rows)
            _shrink_tensors(op, rows)
            value = graph.values[op.outputs[0]]
            graph.values[op.outputs[0]] = Value(value.type, (*value.shape[:axis], rows, *value.shape[axis + 1 :]))
        ops.append(op)
    graph.ops = ops
    graph.remove_dead()


def _row_axis(graph: Graph, op: GraphOp) -> int | None:
    """Axis of the output along which rows are independent, or None.

    An input whose rows are not its first axis (masks) cannot be sliced: its writer must be pruned as well, and have no
    other reader.
    """
    declared = declarations()[op.op]
    if not declared.is_row_wise(op.attrs) or len(op.outputs) != 1:
        return None
    for position, name in enumerate(op.inputs):
        axis = _input_axis(op, position)
        if axis is None or _can_be_sliced(graph.values[name], axis):
            continue
        writer = graph.producer(name)
        if writer is None or _row_axis(graph, writer) != axis or len(graph.consumers(name)) > 1:
            return None
    return declared.outputs[0].row_axis


def _can_be_sliced(value: Value, axis: int) -> bool:
    return axis == 0 and len(value.shape) in _SLICED_AXES.get(value.type, ())


def _input_axis(op: GraphOp, position: int) -> int | None:
    """The axis of an input of which row n of the output needs row n alone; None if it needs all of the input."""
    return declarations()[op.op].inputs[position].row_axis


def _row_axes(graph: Graph) -> dict[str, int]:
    """The axis of the rows of each value: where its writer has it, else the first."""
    axes = dict.fromkeys(graph.values, 0)
    for op in graph.ops:
        axis = _row_axis(graph, op)
        if axis is not None:
            axes[op.outputs[0]] = axis
    return axes


def _needed_rows(graph: Graph) -> dict[str, int]:
    """For each value, how many leading rows some operator reads."""
    axes = _row_axes(graph)
    needed = {graph.output: graph.values[graph.output].shape[axes[graph.output]]}
    for op in reversed(graph.ops):
        is_row_wise = _row_axis(graph, op) is not None
        for position, name in enumerate(op.inputs):
            rows = graph.values[name].shape[axes[name]]
            if is_row_wise and _input_axis(op, position) == axes[name]:
                rows = min(rows, needed.get(op.outputs[0], 0))
            elif op.op == "slice_rows":
                rows = int(op.attrs["stop"])
            needed[name] = max(needed.get(name, 0), rows)
    return needed


def _leading_rows(graph: Graph, ops: list[GraphOp], sliced: dict[tuple[str, int], str], name: str, rows: int) -> str:
    """`name`, or a `slice_rows` of its first rows where it has more; a value whose writer was pruned has no more."""
    value = graph.values[name]
    if value.shape[0] == rows or not _can_be_sliced(value, 0):
        return name
    key = (name, rows)
    if key not in sliced:
        sliced[key] = graph.add_value(f"{name}_rows", value.type, (rows, *value.shape[1:]))
        ops.append(GraphOp("slice_rows", [name], [sliced[key]], {"start": 0, "stop": rows}))
    return sliced[key]


def _shrink_tensors(op: GraphOp, rows: int) -> None:
    """Constants that have one entry a row keep the leading ones."""
    for parameter in declarations()[op.op].parameters:
        if parameter.name not in op.tensors:
            continue
        tensor = op.tensors[parameter.name]
        axis = parameter.row_axis_of(tensor.ndim)
        if axis is not None and tensor.shape[axis] != rows:
            op.tensors[parameter.name] = np.take(tensor, np.arange(rows), axis)
