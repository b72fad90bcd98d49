"""What commands print: figures to stdout (a table, or pure JSON), everything else to stderr.

Names of files, folders, classes and models are somebody else's text. It is shown as it is: no markup, no emoji codes,
control characters escaped, very long text shortened (`bitvit.text`). So all commands print in the same way.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from bitvit.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LINE_BREAKS = re.compile(r"\s*\n\s*")
_LONGEST_MESSAGE = 8000
_LONGEST_CELL = 600


def print_error(message: str) -> None:
    """Print `error: message` as one line on stderr."""
    print("error: " + printable(_LINE_BREAKS.sub(" ", message.strip()), _LONGEST_MESSAGE), file=sys.stderr)


def print_note(message: str) -> None:
    """Print a message that is not part of the command's result, as one line on stderr."""
    print(printable(message, _LONGEST_MESSAGE), file=sys.stderr)


def as_argument(text: str | os.PathLike[str]) -> str:
    """Return a name as a command line takes it: in quotes where a shell would read it otherwise, never an option."""
    word = os.fspath(text)
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def console(stderr: bool = False, file: TextIO | None = None) -> Console:
    """Return a console that prints text as it is."""
    from rich.console import Console

    stream = file if file is not None else sys.stderr if stderr else sys.stdout
    result = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not result.is_terminal:
        result.width = 1000  # nobody's window: long names stay on their line
    return result


def open_closed_streams() -> None:
    """Give a process that was started without standard streams (`>&-`) empty input, and outputs that swallow text."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (open as long as the process)


def tolerate_any_text() -> None:
    """Let standard output and error escape what their encoding cannot express, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: Any) -> None:
    """Print one JSON document on stdout. NaN and infinities are not JSON and are an error."""
    print(json.dumps(value, indent=2, allow_nan=False))


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numeric_from: int = 1, left: Sequence[int] = ()
) -> Table:
    """Return a rich table; columns from `numeric_from` on are right-aligned, except those numbered in `left`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:
        return Text(printable(text, _LONGEST_CELL))  # a Text is never read as markup

    result = Table(title=plain(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        result.add_column(
            plain(column), justify="right" if index >= numeric_from and index not in left else "left", overflow="fold"
        )
    for row in rows:
        result.add_row(*(plain(cell) for cell in row))
    return result


def print_table(*tables: Table, file: TextIO | None = None) -> None:
    """Print tables on stdout, or into `file`; on anything but a terminal they keep their full width."""
    out = console(file=file)
    for item in tables:
        out.print(item)


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
