"""What the meaning of an operator is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitvit.program.bits import unpack_bits
from bitvit.program.schema import AnyArray, Value, ValueType


@dataclass(frozen=True)
class Call:
    """What an operator runs on: its inputs for one image, attributes, parameters, and what it is to write.

    Everything has been checked against the operator's declaration.
    """

    inputs: tuple[AnyArray, ...]
    input_types: tuple[ValueType, ...]
    attrs: Mapping[str, Any]
    tensors: Mapping[str, AnyArray]
    outputs: tuple[Value, ...]

    def map(self) -> AnyArray:
        """The first input, rows of cells of the grid ``grid`` = [h, w], as [h, w, ...]."""
        h, w = self.attrs["grid"]
        x = self.inputs[0]
        return x.reshape(h, w, *x.shape[1:])

    def weight_bits(self, length: int) -> AnyArray:
        """The sign bits of the parameter ``weight`` as booleans [..., length]."""
        return unpack_bits(self.tensors["weight"], length)
