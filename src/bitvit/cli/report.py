"""`bitvit report`: a finished run as one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from bitvit.cli.arguments import positive
from bitvit.cli.data_arguments import add_data_arguments, chosen_images
from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import print_json, print_note
from bitvit.cli.output_files import refuse_inputs

HELP = "write one HTML file about a finished run: curves, confusion, worst images, attention, sizes, times"
EXAMPLES = ("bitvit report runs/digits", "bitvit report runs/photos --out photos.html --worst 24")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of a finished run")
    parser.add_argument("--out", type=Path, metavar="HTML", help="file to write (default RUN/report.html)")
    parser.add_argument("--images", type=positive, default=512, metavar="N", help="validation images (default 512)")
    parser.add_argument("--worst", type=positive, default=12, metavar="N", help="worst images shown (default 12)")
    parser.add_argument("--maps", type=positive, default=6, metavar="N", help="images with attention maps (default 6)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    add_data_arguments(parser)
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Report on the validation images of the recipe, or on those that are named."""
    load_pytorch()
    from bitvit.checkpoints import read_info
    from bitvit.errors import UsageError
    from bitvit.reporting import report_run

    if arguments.run.is_file():
        raise UsageError(f"{arguments.run} is a file: name the folder of a run")
    out = arguments.out or arguments.run / "report.html"
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name the file to write")
    refuse_inputs(out, [arguments.run])
    info = read_info(arguments.run)
    data = chosen_images(arguments, info.recipe.get("data", {}), info.labels, task=info.task)
    numbers = report_run(
        arguments.run,
        data.images,
        out,
        count=arguments.images,
        worst=arguments.worst,
        maps=arguments.maps,
        note=print_note,
    )
    print_note(f"wrote {out}")
    if arguments.json:
        print_json(numbers)
    return 0
