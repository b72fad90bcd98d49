"""Operations and bytes of a `.bitvit` file, operator by operator: what the engine really does after folding.

Works without PyTorch. A multiply-add counts 1, a comparison 1, a table look-up 1. The cost of an operator is declared
in `cpp/ops`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from bitvit.program import BitvitFile, operator_cost, read_file


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
        """Return the costs of all operators together."""
        return _sum("total", self.operators)

    @property
    def header_bytes(self) -> int:
        """What the file contains beside the tensors: program, preprocessing, labels, facts about the training run."""
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
        inputs, outputs = ([file.program.values[name] for name in names] for names in (op.inputs, op.outputs))
        tensors = {parameter: file.tensors[name] for parameter, name in op.tensors.items()}
        bops, integer_ops, flops = operator_cost(op, inputs, outputs, tensors)
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
