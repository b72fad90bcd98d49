"""Operations and bytes of a `.bitvit` file, operator by operator: what the engine really does after folding.

Works without PyTorch. A multiply-add counts 1, a comparison 1, a table look-up 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

from bitvit.program import BitvitFile, Op, Value, read_file


@dataclass(frozen=True)
class OperatorCost:
    """Cost of one operator, or of all of one kind together.

    Attributes:
        operator: kind, such as `binary_linear`.
        output: name of the value written; for a sum, how many operators it is of.
        bops: binary multiply-adds.
        integer_ops: 8-bit multiply-adds.
        flops: float operations.
        size_bytes: size of its tensors in the file.
    """

    operator: str
    output: str = ""
    bops: int = 0
    integer_ops: int = 0
    flops: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class FileComplexity:
    """What the network in a `.bitvit` file costs on one image.

    Attributes:
        path: the file.
        operators: its operators in order.
        file_bytes: size of the whole file.
    """

    path: str
    operators: list[OperatorCost]
    file_bytes: int

    @property
    def total(self) -> OperatorCost:
        return _sum("total", self.operators)

    @property
    def header_bytes(self) -> int:
        """What the file holds beside the tensors: program, preprocessing, labels, facts about the training run."""
        return self.file_bytes - self.total.size_bytes

    def by_kind(self) -> list[OperatorCost]:
        """Return one sum for each kind of operator, the largest in bytes first."""
        kinds = dict.fromkeys(item.operator for item in self.operators)
        sums = [_sum(kind, [item for item in self.operators if item.operator == kind]) for kind in kinds]
        return sorted(sums, key=lambda item: (-item.size_bytes, -item.bops, item.operator))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {
            "file": self.path,
            "total": asdict(self.total),
            "header_bytes": self.header_bytes,
            "file_bytes": self.file_bytes,
            "by_kind": [asdict(item) for item in self.by_kind()],
            "operators": [asdict(item) for item in self.operators],
        }


def file_complexity(path: str | PathLike[str]) -> FileComplexity:
    """Count what the network in a `.bitvit` file costs on one image.

    Raises:
        ProgramError: the file cannot be read or is malformed.
    """
    costs = operator_costs(read_file(path))
    return FileComplexity(str(path), costs, Path(path).stat().st_size)


def operator_costs(file: BitvitFile) -> list[OperatorCost]:
    """Return the cost of every operator; a tensor that several operators share is charged to the first."""
    seen: set[str] = set()
    costs = []
    for op in file.program.ops:
        own = set(op.tensors.values()) - seen
        seen |= own
        bops, integer_ops, flops = _operations(op, file)
        size = sum(file.tensors[name].nbytes for name in own)
        costs.append(OperatorCost(op.op, ", ".join(op.outputs), bops, integer_ops, flops, size))
    return costs


def _sum(kind: str, items: list[OperatorCost]) -> OperatorCost:
    return OperatorCost(
        kind,
        f"{len(items)} operators",
        sum(item.bops for item in items),
        sum(item.integer_ops for item in items),
        sum(item.flops for item in items),
        sum(item.size_bytes for item in items),
    )


def _operations(op: Op, file: BitvitFile) -> tuple[int, int, int]:
    """Return binary, 8-bit and float operations."""
    program = file.program
    inputs = [program.values[name] for name in op.inputs]
    outputs = [program.values[name] for name in op.outputs]
    if op.op in _PRODUCTS:
        return _PRODUCTS[op.op](op, inputs, outputs, file)
    per_element = _FLOPS_PER_ELEMENT.get(op.op, 0)
    return 0, 0, per_element * prod((inputs or outputs)[0].shape)


# Float operations for each element of the first input.
_FLOPS_PER_ELEMENT = {
    "image_to_float": 1,
    "add": 1,
    "add_constant": 1,
    "affine": 1,
    "mean_rows": 1,
    "mean_channels": 1,
    "gelu": 20,  # numerator and denominator of the fixed rational function
    "rprelu": 4,
    "layer_norm": 5,
    "layer_norm_sign": 6,
    "sign": 1,
    "mask": 1,
    "statistics": 2,
    "sign_statistics": 1,
    "mask_statistics": 2,
    "scale_by": 1,
}

Counter = Callable[[Op, list[Value], list[Value], BitvitFile], tuple[int, int, int]]


def _linear(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    products = prod(outputs[0].shape) * prod(inputs[0].shape[1:])
    elements = prod(outputs[0].shape)
    if op.op == "binary_linear":
        return products, 0, elements
    if op.op == "binary_linear_threshold":
        return products, 0, 0
    if op.op == "linear_i8":
        return 0, products, 3 * prod(inputs[0].shape) + elements
    return 0, 0, products


def _patch(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    weight = file.tensors[op.tensors["weight"]]
    rows, channels = outputs[0].shape[0], inputs[0].shape[2]
    products = rows * int(weight.size)
    if op.op == "patch_conv_u8":
        return 0, products, rows * int(weight.shape[0]) * channels
    return 0, 0, products


def _convolution(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    """Taps outside the grid are counted as well: they are few, and their number depends on the dilation."""
    channels = inputs[0].shape[1] // int(op.attrs["groups"])
    elements = prod(outputs[0].shape)
    return elements * int(op.attrs["kernel"]) ** 2 * channels, 0, elements


def _stencil(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    groups = op.attrs["groups"]
    taps = sum(len(group) for group in groups)
    division = 1 if op.attrs["divisor"] > 1 else 0
    # The first tap of a sum is no addition.
    return 0, 0, prod(outputs[0].shape) * (taps - len(groups) + division * len(groups)) // len(groups)


def _pool(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    return 0, 0, prod(outputs[0].shape) * int(op.attrs["kernel"]) ** 2


def _masks(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    rows, heads, width = inputs[0].shape
    scores = heads * rows * inputs[1].shape[0]
    rules = len(op.attrs.get("planes", [0]))
    offset = 1 if "offset" in op.tensors else 0
    # Look-up, sum and normalization of the softmax; the offset; a row maximum and the comparisons.
    return scores * width, 0, scores * (3 + offset + 1 + rules)


def _planes(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    return 0, 0, prod(inputs[0].shape) * (1 + 2 * len(op.attrs.get("factors", [])))


def _value_product(op: Op, inputs: list[Value], outputs: list[Value], file: BitvitFile) -> tuple[int, int, int]:
    masks, planes = inputs[0].shape, inputs[1].shape
    elements = prod(outputs[0].shape)
    return masks[0] * planes[0] * elements * masks[3], 0, masks[0] * (planes[0] + 1) * elements


_PRODUCTS: dict[str, Counter] = {
    "binary_linear": _linear,
    "binary_linear_threshold": _linear,
    "linear_f32": _linear,
    "linear_i8": _linear,
    "patch_conv_u8": _patch,
    "patch_conv_f32": _patch,
    "binary_conv": _convolution,
    "stencil": _stencil,
    "pool": _pool,
    "attention_masks": _masks,
    "attention_masks_statistics": _masks,
    "value_planes": _planes,
    "value_product": _value_product,
}
