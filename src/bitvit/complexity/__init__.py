"""What a model costs: binary and float operations, parameters and bytes by layer (`docs/complexity.md`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitvit.complexity.charge import Charge, Cost
    from bitvit.complexity.count import Complexity, ComplexityError, complexity
    from bitvit.complexity.file_costs import FileComplexity, OperatorCost, file_complexity, operator_costs
    from bitvit.complexity.model_sizes import parameter_counts
    from bitvit.complexity.rules import Call, charge_rule

__all__ = [
    "Call",
    "Charge",
    "Complexity",
    "ComplexityError",
    "Cost",
    "FileComplexity",
    "OperatorCost",
    "charge_rule",
    "complexity",
    "file_complexity",
    "operator_costs",
    "parameter_counts",
]

# Imported by name when first used: counting a file must not need PyTorch.
_MODULES = {
    "Call": "rules",
    "Charge": "charge",
    "Complexity": "count",
    "ComplexityError": "count",
    "Cost": "charge",
    "FileComplexity": "file_costs",
    "OperatorCost": "file_costs",
    "charge_rule": "rules",
    "complexity": "count",
    "file_complexity": "file_costs",
    "operator_costs": "file_costs",
    "parameter_counts": "model_sizes",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = getattr(import_module(f"bitvit.complexity.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bitvit.complexity' has no attribute {name!r}")
