"""The declarations of all operators, as the core holds them (``cpp/ops/declaration.h``).

They are the one place that says what an operator takes, what it is limited to, what is true of it and what it costs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitvit import _core
from bitvit.program import errors
from bitvit.program.schema import AnyArray, Op, Value


@dataclass(frozen=True)
class Operand:
    """An input, output or parameter.

    Attributes:
        name: its name; for a parameter, the key in a file.
        type: element types and axes, such as `f32 [N,C]`; several forms are separated by ` | `.
        presence: `required`, `optional` or `repeated`.
        row_axis: the axis whose places are the rows N, if there is one.
    """

    name: str
    type: str
    presence: str
    row_axis: int | None

    def row_axis_of(self, rank: int) -> int | None:
        """The axis N in the form of the operand that has that many axes, if there is one."""
        for form in self.type.split(" | "):
            axes = form.removesuffix(" or heads").partition(" ")[2].strip("[]").split(",")
            if len(axes) == rank or axes[-1] == "..." or (form.endswith(" or heads") and rank == 3):
                return axes.index("N") if "N" in axes else None
        return None


@dataclass(frozen=True)
class Attribute:
    """An attribute: an integer or the length of a list is from `low` to `high`, which are expressions in sizes."""

    name: str
    kind: str
    low: str
    high: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Declaration:
    """One operator.

    Attributes:
        limits: rules such as `("K", "<=", "32767")` or `("groups", "divides", "C")`.
        row_wise: row n of the output needs only row n of whatever has rows.
        row_wise_unless: an attribute and a rule in it that lets rows depend on each other; two empty strings if none.
        foldable: ends with `y = acc * scale[o] + bias[o]`.
        channel_affine: is `y = x * scale[c] + bias[c]` with the parameters `affine_parameters`; an empty name means 1.
        costs: binary multiply-adds, 8-bit multiply-adds and float operations on one image, as expressions.
        traits: everything that is true of the operator, for the engine too.
    """

    name: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    attributes: tuple[Attribute, ...]
    parameters: tuple[Operand, ...]
    limits: tuple[tuple[str, str, str], ...]
    costs: tuple[str, str, str]
    traits: Mapping[str, Any]

    def is_row_wise(self, attrs: Mapping[str, Any]) -> bool:
        """Whether row n of the output needs only row n of whatever has rows, with those attributes."""
        attribute, rule = self.traits["row_wise_unless"]
        is_excepted = attribute and any(entry[0] == rule for entry in attrs[attribute])
        return bool(self.traits["row_wise"]) and not is_excepted

    @property
    def is_foldable(self) -> bool:
        """Whether it ends with `y = acc * scale[o] + bias[o]`."""
        return bool(self.traits["foldable"])

    def channel_affine(self, tensors: Mapping[str, AnyArray]) -> tuple[AnyArray, AnyArray] | None:
        """`scale` and `bias` in float64 where the operator is `x * scale[c] + bias[c]` with those parameters."""
        if not self.traits["channel_affine"]:
            return None
        scale, bias = (
            tensors[name].astype(np.float64) if name else np.array([default])
            for name, default in zip(self.traits["affine_parameters"], (1.0, 0.0), strict=True)
        )
        return (scale, bias) if scale.ndim == bias.ndim == 1 else None


@functools.cache
def declarations() -> dict[str, Declaration]:
    """All operators by name."""
    return {
        item["name"]: Declaration(
            item["name"],
            tuple(Operand(**operand) for operand in item["inputs"]),
            tuple(Operand(**operand) for operand in item["outputs"]),
            tuple(Attribute(**{**each, "choices": tuple(each["choices"])}) for each in item["attributes"]),
            tuple(Operand(**operand) for operand in item["parameters"]),
            tuple(item["limits"]),
            item["costs"],
            item["traits"],
        )
        for item in _core.operators()
    }


def check_operator(
    op: Op, inputs: Sequence[Value], outputs: Sequence[Value], tensors: Mapping[str, AnyArray], index: int = 0
) -> None:
    """Check one operator on its own; ``tensors`` maps its parameter names to arrays.

    Raises:
        ProgramError: the operator violates a rule of ``docs/format.md``.
    """
    _ask(_core.check_operator, op, inputs, outputs, tensors, index)


def operator_cost(
    op: Op, inputs: Sequence[Value], outputs: Sequence[Value], tensors: Mapping[str, AnyArray]
) -> tuple[int, int, int]:
    """Binary multiply-adds, 8-bit multiply-adds and float operations of one operator on one image.

    Raises:
        ProgramError: the operator violates a rule of ``docs/format.md``.
    """
    binary, integer, floats = _ask(_core.operator_cost, op, inputs, outputs, tensors, 0)
    return binary, integer, floats


def _ask(
    function: Any,
    op: Op,
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    tensors: Mapping[str, AnyArray],
    index: int,
) -> Any:
    try:
        return function(
            op.op,
            [(value.type, value.shape) for value in inputs],
            [(value.type, value.shape) for value in outputs],
            dict(op.attrs),
            {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
            index,
        )
    except (TypeError, RuntimeError):  # what has no counterpart in the core, such as None in a list
        message = f"operator {index} ({op.op}): an attribute or a size is not of a type that a file can hold"
        raise errors.OperatorAttributeError(message) from None
