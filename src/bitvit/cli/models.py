"""`bitvit models`: the registered models."""

from __future__ import annotations

import argparse

from bitvit.cli.deferred_imports import load_pytorch
from bitvit.cli.output import format_count, print_json, print_table, table
from bitvit.errors import UsageError

HELP = "list the models that can be trained"
EXAMPLES = ("bitvit models", "bitvit models 'gsb_*' --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pattern", nargs="?", default="*", help="only names that match, such as 'gsb_*'")
    parser.add_argument("--tests", action="store_true", help="also list the tiny models that tests use")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the models with their parameters, of which binary, and their input size."""
    load_pytorch()
    from bitvit.complexity import parameter_counts
    from bitvit.models import list_models
    from bitvit.tasks import task_names

    patterns = [arguments.pattern, *(("test_*", "deit_test_*") if arguments.tests else ())]
    names = [name for pattern in patterns for task in task_names() for name in list_models(pattern, task=task)]
    if not names:
        raise UsageError(f"no model matches {arguments.pattern!r}")
    rows = [{"name": name, **parameter_counts(name)} for name in dict.fromkeys(names)]
    if arguments.json:
        print_json(rows)
        return 0
    cells = [
        [
            row["name"],
            "x".join(str(side) for side in row["input_size"]),
            format_count(row["parameters"]),
            format_count(row["binary_parameters"]) if row["binary_parameters"] else "",
        ]
        for row in rows
    ]
    print_table(table("", ["model", "input", "parameters", "1-bit parameters"], cells))
    return 0
