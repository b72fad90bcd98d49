"""Files that a command writes, and must not write over what it reads."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bitvit.errors import UsageError

__all__ = ["refuse_inputs"]

_OF_A_RUN = ("*.safetensors", "recipe.yaml", "metrics.csv", "report.json")


def refuse_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to write over a file that the command reads, by whatever name or link.

    Args:
        out: the file to write.
        inputs: files that are read. Of a folder, those that make it the folder of a run.

    Raises:
        UsageError: it is one of them.
    """
    if not out.is_file():
        return
    for source in inputs:
        files = [file for pattern in _OF_A_RUN for file in source.glob(pattern)] if source.is_dir() else [source]
        for file in files:
            with suppress(OSError):
                if out.samefile(file):
                    raise UsageError(f"{out}: this file is read, and would be overwritten: write to another one")
