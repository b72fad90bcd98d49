"""What commands print: figures to stdout (a table, or pure JSON), everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def print_error(message: str) -> None:
    """Print `error: message` as one line on stderr."""
    print("error: " + " ".join(message.split()), file=sys.stderr)


def print_note(message: str) -> None:
    """Print a message that is not part of the command's result."""
    print(message, file=sys.stderr)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout. NaN and infinities are not JSON and are an error."""
    print(json.dumps(value, indent=2, allow_nan=False))


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numeric_from: int = 1, left: Sequence[int] = ()
) -> Table:
    """Return a rich table; columns from `numeric_from` on are right-aligned, except those numbered in `left`."""
    from rich import box
    from rich.table import Table

    result = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        result.add_column(
            column, justify="right" if index >= numeric_from and index not in left else "left", overflow="fold"
        )
    for row in rows:
        result.add_row(*row)
    return result


def print_table(*tables: Table) -> None:
    """Print tables on stdout; piped into a file they keep their full width."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 160
    for item in tables:
        console.print(item)


def format_bytes(size: int | float) -> str:
    """Return a size in the largest fitting decimal unit (1 MB = 10^6 bytes)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size:.0f} B"


def format_count(value: float) -> str:
    """Return an operation or parameter count with a decimal prefix."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:.2f} {unit}"
    return f"{value:.0f}"
