"""`bitvit web`: a page with the network inside."""

from __future__ import annotations

import argparse
from pathlib import Path

from bitvit.cli.arguments import MODEL_HELP, add_model_argument
from bitvit.cli.output import format_bytes, print_note

HELP = "write one HTML page with a .bitvit file inside, which classifies pictures in any browser, without a connection"
EXAMPLES = (
    "bitvit web photos.bitvit --out photos.html",
    "bitvit web photos.bitvit --pictures cat.jpg dog.jpg",
    "bitvit web digits",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(parser, "file", metavar="FILE", help=MODEL_HELP)
    parser.add_argument("--out", type=Path, metavar="HTML", help="file to write (default: FILE's name with .html)")
    parser.add_argument(
        "--pictures",
        nargs="+",
        type=Path,
        default=[],
        metavar="PICTURE",
        help="pictures that the page opens with: PNG, JPEG, WebP, GIF or BMP",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page."""
    from bitvit.cli.output_files import refuse_inputs
    from bitvit.errors import UsageError
    from bitvit.files import write_atomically
    from bitvit.trained import trained_models
    from bitvit.web import page_model, web_page

    out = arguments.out or Path(f"{arguments.file.stem}.html")
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name the file to write")
    refuse_inputs(out, (arguments.file, *arguments.pictures))
    samples = [model.sample for model in trained_models() if model.path == arguments.file]
    page = web_page([page_model(arguments.file, arguments.pictures or samples)])
    write_atomically(out, page)
    print_note(f"wrote {out} ({format_bytes(len(page))})")
    return 0
