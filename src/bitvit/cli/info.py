"""`bitvit info`: what a `.bitvit` file holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli._arguments import positive
from bitvit.cli._output import format_bytes, print_json, print_table, table

if TYPE_CHECKING:
    from rich.table import Table

    from bitvit.program import BitvitFile

HELP = "show what a .bitvit file holds: preprocessing, labels, origin, operators and bytes"
EXAMPLES = (
    "bitvit info digits.bitvit",
    "bitvit info digits.bitvit --profile --threads 1",
    "bitvit info digits.bitvit --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a .bitvit file")
    parser.add_argument("--ops", action="store_true", help="print every operator, not one line a kind")
    parser.add_argument("--profile", action="store_true", help="run it and print the time of each operator")
    parser.add_argument("--threads", type=positive, default=1, metavar="T", help="threads of the profile (default 1)")
    parser.add_argument("--runs", type=positive, default=20, metavar="N", help="runs of the profile (default 20)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Describe the file, and with `--profile` time it."""
    from bitvit.program import read_file

    file = read_file(arguments.file)
    document = _describe(arguments.file, file)
    if arguments.profile:
        document["profile"] = _profile(file, arguments.threads, arguments.runs)
    if arguments.json:
        print_json(document)
        return 0
    _print(document, arguments.ops)
    return 0


def _describe(path: Path, file: BitvitFile) -> dict[str, Any]:
    from bitvit.analysis import operator_costs
    from bitvit.program import FORMAT_VERSION

    values = file.program.values
    operators = []
    for op, cost in zip(file.program.ops, operator_costs(file), strict=True):
        operators.append(
            {
                "op": op.op,
                "inputs": list(op.inputs),
                "outputs": [
                    {"name": name, "type": values[name].type, "shape": list(values[name].shape)} for name in op.outputs
                ],
                "attrs": dict(op.attrs),
                "bytes": cost.size_bytes,
            }
        )
    return {
        "file": str(path),
        "format_version": FORMAT_VERSION,
        "size_bytes": path.stat().st_size,
        "tensor_bytes": sum(array.nbytes for array in file.tensors.values()),
        "labels": list(file.labels),
        "preprocessing": asdict(file.preprocessing),
        "provenance": file.provenance,
        "operators": operators,
    }


def _profile(file: BitvitFile, threads: int, runs: int) -> dict[str, Any]:
    """Run the engine on one image without content (its time depends little on content) and return its times."""
    import numpy as np

    from bitvit.runtime import Engine

    engine = Engine(file.program, file.tensors, threads=threads)
    image = np.random.default_rng(0).integers(0, 256, (1, *file.program.values[file.program.input].shape), np.uint8)
    return {"isa": engine.isa, "threads": threads, "runs": runs, "operators": engine.profile(image, runs=runs)}


def _print(document: dict[str, Any], every_operator: bool) -> None:
    preprocessing = document["preprocessing"]
    labels = document["labels"]
    shown = ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")
    height, width = preprocessing["image_size"]
    rows = [
        ["file", f"{document['file']} ({format_bytes(document['size_bytes'])}, format {document['format_version']})"],
        [
            "image",
            f"{height}x{width}, shorter side to {preprocessing['resize_size']}, {preprocessing['interpolation']}",
        ],
        ["classes", f"{len(labels)}: {shown}"],
        *([key.replace("_", " "), _text(value)] for key, value in document["provenance"].items()),
    ]
    tables = [table("", ["", ""], rows, numeric_from=2)]
    tables[0].show_header = False
    operators = document["operators"]
    if every_operator:
        rows = [
            [
                op["op"],
                ", ".join(f"{o['name']} {o['type']}{o['shape']}" for o in op["outputs"]),
                format_bytes(op["bytes"]),
            ]
            for op in operators
        ]
        tables.append(table("operators", ["operator", "output", "bytes"], rows, numeric_from=2))
    else:
        kinds = dict.fromkeys(op["op"] for op in operators)
        groups = [(kind, [op for op in operators if op["op"] == kind]) for kind in kinds]
        rows = [[kind, str(len(group)), format_bytes(sum(op["bytes"] for op in group))] for kind, group in groups]
        tables.append(table("operators", ["operator", "count", "bytes"], rows))
    if "profile" in document:
        tables.append(_profile_table(document["profile"], every_operator))
    print_table(*tables)


def _profile_table(profile: dict[str, Any], every_operator: bool) -> Table:
    """Return milliseconds and share of each operator, or of each kind, the slowest first."""
    times = profile["operators"]
    total = sum(item["milliseconds"] for item in times)
    if every_operator:
        entries = [(f"{item['op']} -> {', '.join(item['outputs'])}", item["milliseconds"]) for item in times]
    else:
        kinds = dict.fromkeys(item["op"] for item in times)
        entries = [(kind, sum(item["milliseconds"] for item in times if item["op"] == kind)) for kind in kinds]
        entries.sort(key=lambda entry: -entry[1])
    rows = [[name, f"{milliseconds:.4f}", f"{milliseconds / total:.1%}"] for name, milliseconds in entries]
    rows.append(["total", f"{total:.4f}", ""])
    title = f"time of one image, {profile['isa']}, {profile['threads']} thread(s), mean of {profile['runs']} runs"
    return table(title, ["operator", "ms", "share"], rows)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item is not None)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
