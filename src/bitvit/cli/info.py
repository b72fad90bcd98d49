"""`bitvit info`: what a `.bitvit` file holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.arguments import MODEL_HELP, add_model_argument, positive
from bitvit.cli.output import format_bytes, print_json, print_note, print_table, table

if TYPE_CHECKING:
    from rich.table import Table

    from bitvit.program import BitvitFile

HELP = "show what a .bitvit file contains: preprocessing, labels, origin, operators and bytes"
EXAMPLES = (
    "bitvit info digits.bitvit",
    "bitvit info digits.bitvit --profile --threads 1",
    "bitvit info digits.bitvit --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(parser, "file", metavar="FILE", help=MODEL_HELP)
    parser.add_argument("--ops", action="store_true", help="print every operator instead of one line per kind")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="run it and print the time of each operator, and its share of the machine's peak bit arithmetic",
    )
    parser.add_argument("--threads", type=positive, default=1, metavar="T", help="threads of the profile (default 1)")
    parser.add_argument("--runs", type=positive, default=20, metavar="N", help="runs of the profile (default 20)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Describe the file, and with `--profile` time it."""
    from bitvit.program import read_file

    file = read_file(arguments.file)
    document = _describe(arguments.file, file)
    if arguments.profile:
        from bitvit.bench.roofline import profile

        document["profile"] = profile(file, threads=arguments.threads, runs=arguments.runs)
    if arguments.json:
        print_json(document)
        return 0
    _print(document, arguments.ops)
    return 0


def _describe(path: Path, file: BitvitFile) -> dict[str, Any]:
    from bitvit.complexity import operator_costs
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
        "task": file.task,
        "labels": list(file.labels),
        "colors": None if file.colors is None else [list(color) for color in file.colors],
        "preprocessing": asdict(file.preprocessing),
        "provenance": file.provenance,
        "operators": operators,
    }


def _print(document: dict[str, Any], every_operator: bool) -> None:
    preprocessing = document["preprocessing"]
    labels = document["labels"]
    shown = ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")
    height, width = preprocessing["image_size"]
    rows = [
        ["file", f"{document['file']} ({format_bytes(document['size_bytes'])}, format {document['format_version']})"],
        [
            "image",
            f"{height}x{width}, {_channels(preprocessing)}, {_fit(preprocessing)}, {preprocessing['interpolation']}",
        ],
        ["task", document["task"]],
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
    if "profile" in document:
        from bitvit.bench.machine_load import describe_load

        print_note(f"load during the run: {describe_load(document['profile']['load'])}")


def _channels(preprocessing: dict[str, Any]) -> str:
    text = {1: "grey", 3: "RGB"}.get(preprocessing["channels"], f"{preprocessing['channels']} channels")
    if preprocessing["value_range"] is None:
        return text
    low, high = preprocessing["value_range"]
    return f"{text}, black {low:g} and white {high:g} beyond 8 bits"


def _fit(preprocessing: dict[str, Any]) -> str:
    return "stretched" if preprocessing["fit"] == "stretch" else f"shorter side to {preprocessing['resize_size']}"


def _profile_table(profile: dict[str, Any], every_operator: bool) -> Table:
    """Return time, share and bit arithmetic of each operator, or of each kind, the slowest first."""
    from bitvit.bench.roofline import peak_fraction

    times, peak = profile["operators"], profile["register_peak"]
    total = sum(item["fastest_milliseconds"] for item in times)
    if every_operator:
        entries = [(f"{item['op']} -> {', '.join(item['outputs'])}", [item]) for item in times]
    else:
        kinds = dict.fromkeys(item["op"] for item in times)
        entries = [(kind, [item for item in times if item["op"] == kind]) for kind in kinds]
        entries.sort(key=lambda entry: -sum(item["fastest_milliseconds"] for item in entry[1]))

    def row(name: str, items: list[dict[str, Any]]) -> list[str]:
        fastest, median, bops = (
            sum(item[key] for item in items) for key in ("fastest_milliseconds", "milliseconds", "bops")
        )
        fraction = peak_fraction(bops, fastest, peak)
        return [
            name,
            f"{fastest:.4f}",
            f"{median:.4f}",
            f"{fastest / total:.1%}",
            f"{bops / 1e6:.2f}" if bops else "",
            f"{bops / fastest / 1e6:.0f}" if fraction is not None else "",
            f"{fraction:.0%}" if fraction is not None else "",
        ]

    rows = [row(name, items) for name, items in entries]
    rows.append(row("total", times))
    for name, rate in (("the peak", peak), ("xor, popcount, add alone", profile["popcount_peak"])):
        rows.append([f"({name})", "", "", "", "", f"{rate / 1e9:.0f}", f"{rate / peak:.0%}"])
    title = f"time of one image, {profile['isa']}, {profile['threads']} thread(s), {profile['runs']} runs"
    return table(title, ["operator", "ms (least)", "median", "share", "MBOPs", "G/s", "of the peak"], rows)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item not in (None, {}, [], ""))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
