"""A builder of ONNX graphs: names, constants, and the few compositions that many operators need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bitvit.program.schema import AnyArray

__all__ = ["OnnxGraph"]


class OnnxGraph:
    """Nodes and constants of a graph under construction.

    Every value has the batch as its first axis; shapes given to the methods are those of one image.
    """

    def __init__(self, image: str) -> None:
        """Begin a graph whose input is called `image`."""
        self.image = image
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._prefix = ""
        self._count = 0
        self._batch: str | None = None

    def begin(self, prefix: str) -> None:
        """Name the nodes that follow after the operator that they come from."""
        self._prefix, self._count = prefix, 0

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = f"{self._prefix}/{kind}_{self._count}"
        self._count += 1
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant; equal ones are stored once."""
        data: AnyArray = np.ascontiguousarray(np.asarray(array, dtype=dtype))
        data = data.reshape(np.shape(array))  # a number stays one
        key = (data.dtype.str, data.shape, data.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(data, name))
            self._constants[key] = name
        return self._constants[key]

    def shape(self, x: str, shape: Sequence[int]) -> str:
        """Reshape each image's value."""
        return self.node("Reshape", x, self.constant([-1, *shape], np.int64))

    def per_image(self, x: str, axes: int) -> str:
        """Reshape one number for each image, [B] or [B, 1], so that it goes with values of so many axes."""
        return self.shape(x, [1] * axes)

    def slice(self, x: str, axis: int, start: int, stop: int) -> str:
        """Take a range along an axis of one image's value (0 is the first behind the batch)."""
        bounds = (self.constant([number], np.int64) for number in (start, stop, axis + 1))
        return self.node("Slice", x, *bounds)

    def gather(self, x: str, axis: int, index: AnyArray) -> str:
        """Take places along an axis of one image's value."""
        return self.node("Gather", x, self.constant(index, np.int64), axis=axis + 1)

    def choose(self, condition: str, yes: Any, no: Any) -> str:
        """Return `yes` where the condition is true, else `no`; numbers or names of values."""
        values = (value if isinstance(value, str) else self.constant(value) for value in (yes, no))
        return self.node("Where", condition, *values)

    def affine(self, x: str, scale: AnyArray, bias: AnyArray) -> str:
        """`x * scale + bias`, in this order of rounding."""
        return self.node("Add", self.node("Mul", x, self.constant(scale)), self.constant(bias))

    def reduce(self, kind: str, x: str, axes: Sequence[int], keep: bool = True) -> str:
        """`ReduceSum`, `ReduceMax` and the like over axes of one image's value."""
        return self.node(kind, x, self.constant([axis + 1 for axis in axes], np.int64), keepdims=int(keep))

    def stack(self, parts: Sequence[str]) -> str:
        """Put values side by side along a new first axis of each image."""
        axis = self.constant([1], np.int64)
        return self.node("Concat", *(self.node("Unsqueeze", part, axis) for part in parts), axis=1)

    def part(self, x: str, index: int) -> str:
        """Take one place of the first axis of each image, which goes."""
        return self.node("Gather", x, self.constant(index, np.int64), axis=1)

    def to_map(self, x: str, grid: Sequence[int], channels: int) -> str:
        """Rows [N, C] of a grid -> [C, h, w]."""
        return self.node("Transpose", self.shape(x, [*grid, channels]), perm=[0, 3, 1, 2])

    def to_rows(self, x: str, channels: int, n_rows: int) -> str:
        """[C, h, w] -> rows [N, C]."""
        return self.shape(self.node("Transpose", x, perm=[0, 2, 3, 1]), [n_rows, channels])

    def for_each_image(self, array: AnyArray) -> str:
        """A constant with the batch in front."""
        if self._batch is None:
            self._batch = self.node("Shape", self.image, start=0, end=1)
        ones = self.constant([1] * array.ndim, np.int64)
        return self.node("Expand", self.constant(array[None]), self.node("Concat", self._batch, ones, axis=0))
