"""`bitvit inspect`: figures of the paper from a trained network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bitvit.cli.arguments import positive
from bitvit.cli.data_arguments import add_data_arguments, chosen_images
from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import print_json, print_note, print_table, table

HELP = "draw the GSB paper's figures from a trained run: attention, module-wise loss, loss curves, attention maps"
EXAMPLES = (
    "bitvit inspect runs/digits",
    "bitvit inspect runs/gsb runs/baseline --out figures --images 1000",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder (or a checkpoint) of a binary network")
    parser.add_argument("others", metavar="RUN", type=Path, nargs="*", help="more runs, for the loss curves only")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default RUN/inspect)")
    parser.add_argument("--images", type=positive, default=512, metavar="N", help="validation images (default 512)")
    parser.add_argument("--maps", type=positive, default=6, metavar="N", help="images with attention maps (default 6)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the untrained network (default 0)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    add_data_arguments(parser)
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Inspect a run and write the report."""
    load_pytorch()
    from bitvit.checkpoints import read_info
    from bitvit.inspection import inspect_run, open_run
    from bitvit.inspection.curves import read_curves

    info = read_info(arguments.run)
    curves = {_name(folder, arguments.others): read_curves(folder) for folder in arguments.others}
    if arguments.run.is_dir() and (arguments.run / "metrics.csv").is_file():
        curves = {_name(arguments.run, arguments.others): read_curves(arguments.run), **curves}
    data = chosen_images(arguments, info.recipe.get("data", {}), info.labels, task=info.task)
    inspected = open_run(arguments.run, data.images, arguments.images)
    beside = arguments.run if arguments.run.is_dir() else arguments.run.parent
    folder = arguments.out or beside / "inspect"
    numbers = inspect_run(
        inspected, curves, folder, maps=arguments.maps, seed=arguments.seed, note=print_note
    )  # fmt: skip
    print_note(f"wrote {folder / 'report.html'}")
    if arguments.json:
        print_json(numbers)
        return 0
    metric = numbers["modules"]["metric"]["title"]
    title = f"{numbers['model']}, {numbers['images']} images"
    print_table(table(title, ["", metric, "loss"], _rows(numbers["modules"])))
    return 0


def _name(folder: Path, others: list[Path]) -> str:
    """The folder's own name, or its whole path where several runs have the same name."""
    path = folder.resolve()
    is_unique = [other.resolve().name for other in others].count(path.name) <= 1
    return path.name if is_unique else str(folder)


def _rows(modules: dict[str, Any]) -> list[list[str]]:
    entries = [("student", modules["student"])]
    entries += [(f"student, {kind} real", result) for kind, result in modules["restored"].items()]
    if "only" in modules:
        entries.append(("teacher", modules["teacher"]))
        entries += [(f"teacher, only {kind} binary", result) for kind, result in modules["only"].items()]
    key = modules["metric"]["key"]
    return [[name, f"{result[key]:.2%}", f"{result['loss']:.4f}"] for name, result in entries]
