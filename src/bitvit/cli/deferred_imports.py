"""What is imported only when a command needs it: PyTorch, and with `--import` the user's own models."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bitvit.cli.output import print_note
from bitvit.errors import UsageError

__all__ = ["add_import_argument", "import_modules", "load_pytorch"]

_PATIENCE_SECONDS = 1.5


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--import`, which `bitvit.cli.main` acts on before the command runs."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE|FILE.py",
        help="run this Python module first, to register a model of your own; may be repeated",
    )


def import_modules(names: Sequence[str]) -> None:
    """Import modules by name, from the present folder too, or by the path of their file.

    Raises:
        UsageError: there is no such module, or it fails while it is imported.
    """
    for name in names:
        path = Path(name)
        if path.suffix == ".py" and not path.is_file():
            raise UsageError(f"--import: {name}: no such file")
        folder, module = (path.parent, path.stem) if path.suffix == ".py" else (Path(), name)
        sys.path.insert(0, str(folder.resolve()))
        try:
            import_module(module)
        except Exception as error:
            raise UsageError(f"--import {name}: {type(error).__name__}: {error}") from error


def load_pytorch(*others: str) -> None:
    """Import PyTorch and timm, and say so if it takes long: on a busy machine it is half a minute.

    Args:
        *others: further slow packages that the command needs.
    """
    if "torch" in sys.modules:
        return
    timer = threading.Timer(_PATIENCE_SECONDS, print_note, ["loading PyTorch ..."])
    timer.start()
    try:
        for name in ("torch", "timm", *others):
            import_module(name)
    finally:
        timer.cancel()
        timer.join()
