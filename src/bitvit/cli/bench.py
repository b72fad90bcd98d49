"""`bitvit bench`: a packed network against the same architecture in other engines, its memory, and how it scales."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.arguments import MODEL_HELP, add_model_argument, positive
from bitvit.cli.deferred_imports import load_pytorch
from bitvit.cli.output import format_bytes, print_json, print_note, print_table, table
from bitvit.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from bitvit.bench.subject import Subject

HELP = "time a .bitvit file against PyTorch, ONNX Runtime and OpenVINO, interleaved in one run"
EXAMPLES = (
    "bitvit bench digits.bitvit",
    "bitvit bench digits.bitvit --threads 2 --batch 8 --figure bench.png",
    "bitvit bench --model gsb_deit_small_patch16_224 --json",
    "bitvit bench --model gsb_deit_small_patch16_224 --full --figure bench.png",
    "bitvit bench digits.bitvit --only-bitvit --memory",
    "bitvit bench digits.bitvit --only-bitvit --threads 2 --busy 1",
    "bitvit bench digits.bitvit --only-bitvit --json > old.json",
    "bitvit bench digits.bitvit --only-bitvit --against old.json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(parser, "file", metavar="FILE", help=MODEL_HELP, nargs="?")
    parser.add_argument("--model", metavar="NAME", help="a registered model with random weights instead of a file")
    parser.add_argument("--threads", type=positive, default=1, metavar="T", help="threads of every engine (default 1)")
    parser.add_argument("--batch", type=positive, default=1, metavar="B", help="images per batch (default 1)")
    parser.add_argument("--rounds", type=positive, default=20, metavar="N", help="runs of each engine (default 20)")
    parser.add_argument(
        "--engines",
        type=_engines,
        metavar="LIST",
        help="engines to compare with, some of pytorch,onnxruntime,openvino (default: all)",
    )
    parser.add_argument("--only-bitvit", action="store_true", help="time bitvit alone; PyTorch is not needed")
    parser.add_argument("--memory", action="store_true", help="also measure memory and start-up in fresh processes")
    parser.add_argument("--scaling", action="store_true", help="also time more threads, batches and image sizes")
    parser.add_argument("--sizes", type=_sizes, metavar="LIST", help="image sizes of --scaling (default 224,320,448)")
    parser.add_argument("--full", action="store_true", help="--memory and --scaling together")
    parser.add_argument(
        "--busy", type=_count, default=0, metavar="N", help="run N busy processes at the same time (default 0)"
    )
    parser.add_argument(
        "--against", type=Path, metavar="JSON", help="compare with a stored run, which --json printed earlier"
    )
    parser.add_argument("--figure", type=Path, metavar="PNG", help="write a chart")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _engines(text: str) -> tuple[str, ...]:
    from bitvit.bench.baselines import ENGINES

    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in ENGINES:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(ENGINES)}")
    return names


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(positive(size) for size in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Time every engine that is installed on the same batch, and what else is asked for."""
    if arguments.model is not None:
        load_pytorch()
    from bitvit.bench.comparison import compare, read_stored

    stored = None if arguments.against is None else read_stored(arguments.against)
    document = measure(arguments)
    if stored is not None:
        document["against"] = compare(document, stored, arguments.against)
    if arguments.figure:
        from bitvit.bench.figures import bench_figure

        bench_figure(document, arguments.figure)
        print_note(f"wrote {arguments.figure}")
    if arguments.json:
        print_json(document)
        return 0
    tables = [_latency_table(document)]
    if "memory" in document:
        tables.append(_memory_table(document["memory"]))
    if "scaling" in document:
        tables += _scaling_tables(document["scaling"])
    if "against" in document:
        tables.append(_against_table(document["against"]))
    print_table(*tables)
    _note_load(document)
    return 0


def _note_load(document: dict[str, Any]) -> None:
    from bitvit.bench.machine_load import describe_load

    neighbours = f", {document['busy']} of them started on purpose" if document["busy"] else ""
    print_note(f"load during the run: {describe_load(document['load'])}{neighbours}")
    for key, (old, new) in document.get("against", {}).get("differs", {}).items():
        print_note(f"{key} differs: {old} then, {new} now")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return everything that is asked for as plain data.

    Raises:
        UsageError: not exactly one of a file and a model is given.
    """
    from bitvit.bench.baselines import ENGINES
    from bitvit.bench.side_by_side import bench

    subject = _subject(arguments)
    engines = () if arguments.only_bitvit else arguments.engines or tuple(ENGINES)
    options = {"threads": arguments.threads, "rounds": arguments.rounds}
    document = bench(subject, batch=arguments.batch, engines=engines, busy=arguments.busy, **options)
    if arguments.memory or arguments.full:
        from bitvit.bench.memory import measure_memory

        with tempfile.TemporaryDirectory(prefix="bitvit-bench-") as folder:
            document["memory"] = measure_memory(subject, Path(folder), threads=arguments.threads)
    if arguments.scaling or arguments.full:
        from bitvit.bench.scaling import SIZES, measure_scaling
        from bitvit.runtime.engine import default_threads

        document["scaling"] = measure_scaling(
            subject,
            most_threads=max(default_threads(), arguments.threads),
            sizes=arguments.sizes or SIZES,
            note=print_note,
            **options,
        )
    return document


def _subject(arguments: argparse.Namespace) -> Subject:
    from bitvit.bench.subject import subject_of_file, subject_of_model

    if (arguments.file is None) == (arguments.model is None):
        raise UsageError("give either a .bitvit file or --model NAME")
    return subject_of_model(arguments.model) if arguments.file is None else subject_of_file(arguments.file)


def _latency_table(document: dict[str, Any]) -> Table:
    batch, results = document["batch"], document["results"]
    first = results[0]["median_ms"]
    rows = [
        [
            result["name"],
            f"{result['fastest_ms'] / batch:.3f}",
            f"{result['median_ms'] / batch:.3f}",
            f"{result['quartile_ms'] / batch:.3f} to {result['third_quartile_ms'] / batch:.3f}",
            f"{result['median_ms'] / first:.1f}x",
            "" if result["size_bytes"] is None else format_bytes(result["size_bytes"]),
            result["precision"],
        ]
        for result in results
    ]
    rows += [[name, "-", "", "", "", "", f"not measured: {reason}"] for name, reason in document["missing"].items()]
    title = f"{document['name']}: batch {batch}, {document['threads']} thread(s), {document['machine']['cpu']}"
    columns = ["engine", "ms/image (least)", "median", "quartiles", "time against bitvit", "size", "arithmetic"]
    return table(title, columns, rows, left=(6,))


def _against_table(against: dict[str, Any]) -> Table:
    rows = [
        [result["name"], f"{result['fastest_ratio']:.2f}x", f"{result['median_ratio']:.2f}x"]
        for result in against["results"]
    ]
    return table(f"time now / time in {against['file']}", ["engine", "least", "median"], rows)


def _memory_table(memory: dict[str, Any]) -> Table:
    rows = [
        ["file", format_bytes(memory["file_bytes"])],
        ["weights", format_bytes(memory["weight_bytes"])],
        ["arena (values of one image)", format_bytes(memory["arena_bytes"])],
        ["process after imports", format_bytes(memory["imports_peak_bytes"])],
        ["process peak", format_bytes(memory["process_peak_bytes"])],
        ["imports", f"{memory['import_ms']:.1f} ms"],
        ["load", f"{memory['load_ms']:.1f} ms"],
        ["first answer", f"{memory['first_answer_ms']:.1f} ms"],
        ["load to first answer", f"{memory['load_to_first_answer_ms']:.1f} ms"],
    ]
    return table(f"memory and start-up, medians of {memory['processes']} fresh processes", ["", ""], rows)


def _scaling_tables(scaling: dict[str, Any]) -> list[Table]:
    tables = [
        table(
            "bitvit by threads, batch 1",
            ["threads", "ms/image", "against one thread"],
            [[str(row["threads"]), f"{row['median_ms']:.3f}", f"{row['speedup']:.2f}x"] for row in scaling["threads"]],
        ),
        table(
            "bitvit by batch",
            ["batch", "ms/batch", "ms/image"],
            [[str(row["batch"]), f"{row['median_ms']:.3f}", f"{row['ms_per_image']:.3f}"] for row in scaling["batch"]],
        ),
    ]
    if scaling["size"]:
        rows = [
            [
                f"{row['size']} x {row['size']}",
                f"{row['median_ms']:.3f}",
                f"{row['time_ratio']:.2f}x",
                f"{row['operations_ratio']:.2f}x",
            ]
            for row in scaling["size"]
        ]
        tables.append(table("bitvit by image size, batch 1", ["image", "ms", "time", "operations"], rows))
    return tables
