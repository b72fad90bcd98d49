"""Types of command-line arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

MODEL_HELP = "a .bitvit file, hf://user/name, or the name of one that comes with bitvit"


def add_model_argument(
    parser: argparse.ArgumentParser,
    name: str,
    *,
    metavar: str,
    help: str,
    or_folder: bool = False,
    nargs: str | None = None,
) -> None:
    """Declare the argument that names a `.bitvit` file.

    It may also be an address on the hub or the name of a file that comes with bitvit; `find_model` (`bitvit.cli.entry`)
    puts the file's path in its place.

    Args:
        parser: of the command.
        name: of the argument.
        metavar: its name in the help.
        help: what else may stand there.
        or_folder: whether it may be the folder of a run.
        nargs: as in argparse.
    """
    parser.add_argument(name, metavar=metavar, type=Path, help=help, nargs=nargs)
    parser.set_defaults(model_argument=name, model_or_folder=or_folder)


def positive(text: str) -> int:
    """Parse an integer >= 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer >= 1")
    return value


def fraction(text: str) -> float:
    """Parse a number >= 0 and < 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number >= 0 and < 1")
    return value
