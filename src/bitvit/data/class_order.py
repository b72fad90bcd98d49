"""In which order the classes of a folder are numbered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from bitvit.data.errors import DataError

__all__ = ["ClassOrder", "natural_key", "ordered_classes"]

ClassOrder: TypeAlias = "Literal['natural', 'alphabetical'] | Sequence[str]"


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key of natural order: numbers by value, letters whatever their case; `class 9` before `class 10`."""
    parts = re.split(r"(\d+)", name.casefold())
    key = tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)
    return key, name


def ordered_classes(names: Sequence[str], order: ClassOrder, folder: Path) -> tuple[str, ...]:
    """Return the names of classes in the order that is asked for.

    Raises:
        DataError: an order of one's own names other classes.
    """
    if order == "natural":
        return tuple(sorted(names, key=natural_key))
    if order == "alphabetical":
        return tuple(sorted(names))
    missing = [name for name in order if name not in names]
    unnamed = [name for name in names if name not in order]
    if missing or unnamed or len(set(order)) != len(order):
        reason = (
            f"names '{missing[0]}', which is no class of {folder}" if missing
            else f"leaves out '{unnamed[0]}' of {folder}" if unnamed
            else "names a class twice"
        )  # fmt: skip
        raise DataError(f"data.class_order {reason}")
    return tuple(order)
