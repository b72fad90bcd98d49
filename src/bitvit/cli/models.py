"""`bitvit models`: the registered models, and the trained ones that come with bitvit."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import Any

from bitvit.cli.deferred_imports import load_pytorch
from bitvit.cli.output import format_bytes, format_count, print_json, print_note, print_table, table
from bitvit.errors import UsageError

HELP = "list the models that can be trained, and the trained ones that come with bitvit"
EXAMPLES = ("bitvit models", "bitvit models 'gsb_*' --json", "bitvit models --trained")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("pattern", nargs="?", default="*", help="only names that match, such as 'gsb_*'")
    parser.add_argument("--tests", action="store_true", help="also list the tiny models that tests use")
    parser.add_argument("--trained", action="store_true", help="only those that come with bitvit, trained")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List the models with their parameters, of which binary, and their input size."""
    if arguments.trained:
        return _list_trained(arguments)
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
    trained = ", ".join(row["name"] for row in _trained("*"))
    print_note(f"trained, ready for `bitvit predict NAME photo.png`: {trained} (bitvit models --trained)")
    return 0


def _list_trained(arguments: argparse.Namespace) -> int:
    rows = _trained(arguments.pattern)
    if not rows:
        raise UsageError(f"no network that comes with bitvit matches {arguments.pattern!r}")
    if arguments.json:
        print_json(rows)
        return 0
    cells = [
        [
            row["name"],
            ", ".join(row["labels"]),
            f"{row['accuracy']:.2%} {row['metric']}",
            format_bytes(row["size_bytes"]),
            row["sample"],
        ]
        for row in rows
    ]
    print_table(table("", ["name", "classes", "accuracy", "size", "a picture to try"], cells, numeric_from=2))
    return 0


def _trained(pattern: str) -> list[dict[str, Any]]:
    from bitvit.program import read_file
    from bitvit.tasks import task_named
    from bitvit.trained import trained_models

    rows = []
    for model in trained_models():
        if fnmatchcase(model.name, pattern):
            file = read_file(model.path)
            rows.append(
                {
                    "name": model.name,
                    "task": file.task,
                    "labels": list(file.labels),
                    "metric": task_named(file.task).metrics[0].title,
                    "accuracy": file.provenance["agreement"]["packed_accuracy"],
                    "size_bytes": model.path.stat().st_size,
                    "file": str(model.path),
                    "card": str(model.card),
                    "sample": str(model.sample),
                }
            )
    return rows
