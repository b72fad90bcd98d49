"""What a model costs: binary and float operations, parameters and bytes by layer (`docs/complexity.md`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitvit.analysis._charge import Charge, Cost
    from bitvit.analysis._complexity import Complexity, ComplexityError, complexity
    from bitvit.analysis._file import FileComplexity, OperatorCost, file_complexity, operator_costs
    from bitvit.analysis._models import parameter_counts
    from bitvit.analysis._rules import Call, charge_rule

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
    "Call": "_rules",
    "Charge": "_charge",
    "Complexity": "_complexity",
    "ComplexityError": "_complexity",
    "Cost": "_charge",
    "FileComplexity": "_file",
    "OperatorCost": "_file",
    "charge_rule": "_rules",
    "complexity": "_complexity",
    "file_complexity": "_file",
    "operator_costs": "_file",
    "parameter_counts": "_models",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = getattr(import_module(f"bitvit.analysis.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bitvit.analysis' has no attribute {name!r}")
