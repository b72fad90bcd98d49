"""The meaning of every operator: `OPERATORS` maps its name to a function from a `Call` to its results.

Each module of this package holds one operator or a few that belong together, as functions ``run_<name>``; there is no
other list. What an operator may be given (shapes, attributes, parameters, limits) is declared in ``cpp/ops``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray

Meaning = Callable[[Call], Sequence[AnyArray]]


def _meanings() -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        found |= {name.removeprefix("run_"): run for name, run in vars(module).items() if name.startswith("run_")}
    return found


OPERATORS: dict[str, Meaning] = _meanings()
