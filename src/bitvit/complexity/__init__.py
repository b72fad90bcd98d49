"""What a model costs: binary and float operations, parameters and bytes by layer (`docs/complexity.md`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitvit.charge import Call, Charge, NoOwnWork
    from bitvit.complexity.cost import Cost
    from bitvit.complexity.count import Complexity, ComplexityError, complexity
    from bitvit.complexity.file_costs import FileComplexity, OperatorCost, file_complexity, operator_costs
    from bitvit.complexity.model_sizes import parameter_counts

__all__ = [
    "Call",
    "Charge",
    "Complexity",
    "ComplexityError",
    "Cost",
    "FileComplexity",
    "NoOwnWork",
    "OperatorCost",
    "complexity",
    "file_complexity",
    "operator_costs",
    "parameter_counts",
]

# Imported by name when first used: counting a file must not need PyTorch.
_MODULES = {
    "Call": "bitvit.charge",
    "Charge": "bitvit.charge",
    "Complexity": "bitvit.complexity.count",
    "ComplexityError": "bitvit.complexity.count",
    "Cost": "bitvit.complexity.cost",
    "FileComplexity": "bitvit.complexity.file_costs",
    "NoOwnWork": "bitvit.charge",
    "OperatorCost": "bitvit.complexity.file_costs",
    "complexity": "bitvit.complexity.count",
    "file_complexity": "bitvit.complexity.file_costs",
    "operator_costs": "bitvit.complexity.file_costs",
    "parameter_counts": "bitvit.complexity.model_sizes",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bitvit.complexity' has no attribute {name!r}")
