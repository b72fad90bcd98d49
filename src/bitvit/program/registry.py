"""What an operator is: a name, a check that infers and compares shapes and types, and a run that defines the result.

A new operator is one `OperatorSpec` in a file of ``bitvit.program.operators``. Its check states by its calls which
inputs, attributes and parameters there are; whatever it does not ask for is refused as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from bitvit.program.bits import unpack_bits
from bitvit.program.errors import (
    NonFiniteError,
    OperandError,
    OperatorAttributeError,
    OperatorParameterError,
    ProgramError,
    TensorContentError,
    TensorShapeError,
    TensorTypeError,
)
from bitvit.program.schema import AnyArray, F32Array, Op, Value, ValueType


@dataclass(frozen=True)
class Call:
    """What an operator runs on: its inputs for one image, attributes, parameters, and what it is to write."""

    inputs: tuple[AnyArray, ...]
    input_types: tuple[ValueType, ...]
    attrs: Mapping[str, Any]
    tensors: Mapping[str, AnyArray]
    outputs: tuple[Value, ...]


@dataclass(frozen=True)
class OperatorSpec:
    """One kind of operator.

    ``check`` raises a `ProgramError` unless the operator is used as ``docs/format.md`` says; ``run`` maps arrays to
    arrays, in the forms of the interpreter.
    """

    name: str
    check: Callable[[OperatorCheck], None]
    run: Callable[[Call], Sequence[AnyArray]]


@dataclass
class OperatorCheck:
    """One operator of a Program in its surroundings, with the questions that a check asks."""

    op: Op
    index: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    tensors: Mapping[str, AnyArray]
    _known_attrs: set[str] = field(default_factory=set)
    _known_parameters: set[str] = field(default_factory=set)

    def fail(self, error: type[ProgramError], message: str) -> NoReturn:
        """Raise ``error`` with the place in front."""
        raise error(f"operator {self.index} ({self.op.op}): {message}")

    # Values

    def input_count(self, low: int, high: int | None = None) -> int:
        """The number of inputs, from ``low`` to ``high`` (``low`` itself by default)."""
        count = len(self.inputs)
        if not low <= count <= (low if high is None else high):
            self.fail(OperandError, f"{count} inputs, expected {low if high in (None, low) else f'{low} to {high}'}")
        return count

    def input(self, i: int, *types: ValueType, rank: int | None = None) -> tuple[int, ...]:
        """Shape of input ``i``, which must have one of the types and that rank."""
        value = self.inputs[i]
        if value.type not in types:
            self.fail(OperandError, f"input {self.op.inputs[i]!r} is {value.type}, expected {' or '.join(types)}")
        if rank is not None and len(value.shape) != rank:
            self.fail(OperandError, f"input {self.op.inputs[i]!r} has shape {list(value.shape)}, expected {rank} axes")
        return value.shape

    def writes(self, *expected: Value) -> None:
        """The outputs must be declared as exactly these."""
        if len(self.outputs) != len(expected):
            self.fail(OperandError, f"{len(self.outputs)} outputs, expected {len(expected)}")
        for name, declared, wanted in zip(self.op.outputs, self.outputs, expected, strict=True):
            if declared != wanted:
                self.fail(
                    OperandError,
                    f"output {name!r} is declared {declared.type} {list(declared.shape)}, "
                    f"but the operator gives {wanted.type} {list(wanted.shape)}",
                )

    def writes_bits(self, n_rows: int, n_channels: int, *types: ValueType) -> None:
        """The output must be bits of one of the types, of shape [N, C], or [N, H, D] with H D = C."""
        if len(self.outputs) != 1:
            self.fail(OperandError, f"{len(self.outputs)} outputs, expected 1")
        declared = self.outputs[0]
        shape = declared.shape
        fits = len(shape) in (2, 3) and shape[0] == n_rows and math.prod(shape[1:]) == n_channels
        if declared.type not in types or not fits:
            self.fail(
                OperandError,
                f"output {self.op.outputs[0]!r} is declared {declared.type} {list(shape)}, but the operator gives "
                f"{' or '.join(types)} [{n_rows}, {n_channels}], which may be split into heads",
            )

    def same(self, what: str, a: object, b: object) -> None:
        """Two sizes that must agree."""
        if a != b:
            self.fail(OperandError, f"{what}: {a} and {b} do not agree")

    # Attributes

    def attribute(self, name: str) -> Any:
        """An attribute that must be there."""
        self._known_attrs.add(name)
        if name not in self.op.attrs:
            self.fail(OperatorAttributeError, f"attribute {name!r} is missing")
        return self.op.attrs[name]

    def integer(self, name: str, low: int, high: int) -> int:
        """An attribute that must be an integer in [low, high]."""
        value = self.attribute(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(OperatorAttributeError, f"attribute {name!r} must be an integer from {low} to {high}")
        return value

    def number(self, name: str, *, positive: bool = False) -> float:
        """An attribute that must be a finite number in the range of binary32."""
        value = self.to_number(self.attribute(name), f"attribute {name!r}")
        if positive and not np.float32(value) > 0:
            self.fail(OperatorAttributeError, f"attribute {name!r} must be positive")
        return value

    def to_number(self, value: Any, what: str) -> float:
        """A number of an attribute, checked to be finite in binary32."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(OperatorAttributeError, f"{what} must be a number")
        if not abs(value) <= float(np.finfo(np.float32).max):  # also false for NaN
            self.fail(NonFiniteError, f"{what} is not finite in binary32")
        return float(value)

    # Parameters

    def has_parameter(self, name: str) -> bool:
        """Whether an optional parameter is given."""
        self._known_parameters.add(name)
        return name in self.tensors

    def parameter(self, name: str, dtype: npt.DTypeLike, *shapes: tuple[int, ...]) -> AnyArray:
        """A parameter of that element type and one of these shapes; floats must be finite."""
        if not self.has_parameter(name):
            self.fail(OperatorParameterError, f"parameter {name!r} is missing")
        tensor = self.tensors[name]
        where = f"parameter {name!r} (tensor {self.op.tensors.get(name, name)!r})"
        if tensor.dtype != np.dtype(dtype):
            self.fail(TensorTypeError, f"{where} is {tensor.dtype}, expected {np.dtype(dtype)}")
        if shapes and tensor.shape not in shapes:
            expected = " or ".join(str(list(shape)) for shape in shapes)
            self.fail(TensorShapeError, f"{where} has shape {list(tensor.shape)}, expected {expected}")
        if tensor.dtype == np.float32 and not np.isfinite(tensor).all():
            self.fail(NonFiniteError, f"{where} has values that are not finite")
        return tensor

    def floats(self, name: str, *shapes: tuple[int, ...]) -> F32Array:
        """A float32 parameter of one of these shapes."""
        return self.parameter(name, np.float32, *shapes)

    def packed_signs(self, name: str, n_rows: int, length: int) -> None:
        """A parameter of sign bits [n_rows, length], stored with zero padding."""
        packed = self.parameter(name, np.uint8, (n_rows, (length + 7) // 8))
        if length % 8 and (packed[:, -1] >> (length % 8)).any():
            self.fail(TensorContentError, f"parameter {name!r} has 1 bits in the padding of its rows")

    def require(self, condition: object, message: str) -> None:
        """A rule about the contents of a parameter."""
        if not condition:
            self.fail(TensorContentError, message)

    def finish(self) -> None:
        """Refuse whatever the check did not ask for."""
        for name in self.op.attrs:
            if name not in self._known_attrs:
                self.fail(OperatorAttributeError, f"unknown attribute {name!r}")
        for name in self.tensors:
            if name not in self._known_parameters:
                self.fail(OperatorParameterError, f"unknown parameter {name!r}")


def unpacked_weight(call: Call, length: int, name: str = "weight") -> AnyArray:
    """The sign bits of a parameter as booleans [O, length]."""
    return unpack_bits(call.tensors[name], length)
