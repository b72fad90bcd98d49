"""Finds what the files of `tests/operators` hold: there is no other list of operators under test.

A file ``test_<family>.py`` has for each of its operators ``case_<name>(rng)``, a random valid use, and
``loop_<name>(case)``, its results in loops over single numbers. It may have ``EDGES``, chosen uses by name, ``LARGE``,
uses of real sizes (for the engine alone: too slow for the loops), and ``REFUSED``, uses with the error they must raise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bitvit.program.schema import AnyArray

from .operator_cases import OperatorCase, Rng

FOLDER = Path(__file__).parents[1] / "operators"
HOMES: dict[str, ModuleType] = {
    path.stem.removeprefix("test_"): importlib.import_module(f"tests.operators.{path.stem}")
    for path in sorted(FOLDER.glob("test_*.py"))
}


def _functions(prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): function
        for module in HOMES.values()
        for name, function in vars(module).items()
        if name.startswith(prefix)
    }


def _entries(table: str) -> dict[str, Any]:
    return {
        f"{family}: {name}": entry
        for family, module in HOMES.items()
        for name, entry in getattr(module, table, {}).items()
    }


CASES: dict[str, Callable[[Rng], OperatorCase]] = _functions("case_")
LOOPS: dict[str, Callable[[OperatorCase], list[AnyArray]]] = _functions("loop_")
EDGES: dict[str, Callable[[Rng], OperatorCase]] = _entries("EDGES")
LARGE: dict[str, Callable[[Rng], OperatorCase]] = _entries("LARGE")
REFUSED: dict[str, tuple[str, OperatorCase]] = _entries("REFUSED")


def operator_case(kind: str, seed: int) -> OperatorCase:
    """A random valid use of one operator."""
    return CASES[kind](np.random.default_rng(seed))
