"""The mutable form of a Program that the export passes work on.

A `Graph` is a `bitvit.program.Program` whose operators hold their tensors as arrays, not by name: passes fold and fuse
freely, and names are given once, at the end, by `Graph.finish`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.errors import ExportError
from bitvit.program import Op, Program, Value
from bitvit.program.schema import ValueType

Array = npt.NDArray[Any]


@dataclass
class GraphOp:
    """One operator of docs/format.md, with its parameters as arrays; `scope` is the module path it came from."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Array] = field(default_factory=dict)
    scope: str = ""


@dataclass
class Graph:
    """Typed values, operators in execution order, the name of the image and of the logits."""

    input: str
    output: str = ""
    values: dict[str, Value] = field(default_factory=dict)
    ops: list[GraphOp] = field(default_factory=list)

    def add_value(self, name: str, type_: ValueType, shape: Iterable[int]) -> str:
        """Declare a value under `name`, or `name` with a number where that is taken; return the name used."""
        unique = name
        count = 1
        while unique in self.values:
            unique = f"{name}_{count}"
            count += 1
        self.values[unique] = Value(type_, tuple(int(n) for n in shape))
        return unique

    def producer(self, name: str) -> GraphOp | None:
        """The operator that writes value `name`; None for the image."""
        return next((op for op in self.ops if name in op.outputs), None)

    def consumers(self, name: str) -> list[GraphOp]:
        """The operators that read value `name`, in order."""
        return [op for op in self.ops if name in op.inputs]

    def only_consumer(self, name: str) -> GraphOp | None:
        """The single operator that reads `name`, or None where there are several, or `name` is the output."""
        readers = self.consumers(name)
        return readers[0] if len(readers) == 1 and name != self.output else None

    def replace_uses(self, old: str, new: str) -> None:
        """Let every reader of `old` read `new`."""
        for op in self.ops:
            op.inputs = [new if name == old else name for name in op.inputs]
        if self.output == old:
            self.output = new

    def remove(self, op: GraphOp) -> None:
        """Remove one operator (not its values: see `remove_dead`)."""
        self.ops = [other for other in self.ops if other is not op]

    def remove_dead(self) -> None:
        """Remove operators whose results nobody reads, and values that nobody writes or reads."""
        needed = {self.output}
        live: list[GraphOp] = []
        for op in reversed(self.ops):
            if needed.intersection(op.outputs):
                live.append(op)
                needed.update(op.inputs)
        self.ops = live[::-1]
        used = {self.input, self.output}
        for op in self.ops:
            used.update(op.inputs, op.outputs)
        self.values = {name: value for name, value in self.values.items() if name in used}

    def finish(self) -> tuple[Program, dict[str, Array]]:
        """Name every tensor after the module it came from; return the Program with its tensors, equal ones shared.

        Raises:
            ExportError: the traced model has no output.
        """
        if not self.output:
            raise ExportError("the traced model has no output")
        tensors: dict[str, Array] = {}
        known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        ops: list[Op] = []
        for op in self.ops:
            names: dict[str, str] = {}
            for parameter, array in op.tensors.items():
                content = (array.dtype.str, array.shape, array.tobytes())
                if content in known:
                    names[parameter] = known[content]
                    continue
                base = f"{op.scope or op.op}.{parameter}"
                name, count = base, 1
                while name in tensors:
                    name = f"{base}_{count}"
                    count += 1
                tensors[name] = np.ascontiguousarray(array)
                names[parameter] = known[content] = name
            ops.append(Op(op.op, tuple(op.inputs), tuple(op.outputs), op.attrs, names))
        return Program(dict(self.values), ops, self.input, self.output), tensors
