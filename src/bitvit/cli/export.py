"""`bitvit export`: a trained model to one packed file, compared with the checkpoint on the way."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitvit.cli.arguments import add_model_argument, positive
from bitvit.cli.data_arguments import add_data_arguments, chosen_images
from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import format_bytes, print_json, print_note, print_table, table
from bitvit.cli.output_files import refuse_inputs
from bitvit.errors import UsageError

if TYPE_CHECKING:
    from bitvit.checkpoints import CheckpointInfo
    from bitvit.data import ImageSet
    from bitvit.export import ExportReport

HELP = "pack a trained model into one .bitvit file, or an ONNX file, and compare it with the checkpoint"
EXAMPLES = (
    "bitvit export runs/digits digits.bitvit",
    "bitvit export runs/digits/model.safetensors digits.bitvit --images 500",
    "bitvit export runs/flowers flowers.bitvit --data-dir ~/flowers102 --json",
    "bitvit export runs/digits digits.onnx",
    "bitvit export digits.bitvit digits.onnx",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(
        parser,
        "run",
        metavar="RUN",
        help="a run folder or a checkpoint of the finished student; for ONNX a .bitvit file, too",
        or_folder=True,
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="the .bitvit or .onnx file to write; - for standard output"
    )
    parser.add_argument(
        "--images", type=positive, metavar="N", help="compare on the first N validation images (default: all)"
    )
    parser.add_argument("--no-compare", action="store_true", help="write the file without comparing; needs no images")
    parser.add_argument("--threads", type=positive, metavar="T", help="threads of the engine")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_data_arguments(parser)
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Pack, compare, write, and print the agreement."""
    load_pytorch()
    if str(arguments.out) == "-":
        return _to_standard_output(arguments)
    _check_target(arguments.out)
    refuse_inputs(arguments.out, [arguments.run])
    if arguments.out.suffix == ".onnx":
        from bitvit.cli.onnx_file import export_onnx

        return export_onnx(arguments)
    return _export(arguments, arguments.out)


def _to_standard_output(arguments: argparse.Namespace) -> int:
    """Export to a temporary file and copy it; figures would mix with the file's bytes."""
    if arguments.json:
        raise UsageError("--json and - both write to standard output: choose one")
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal: redirect it (bitvit export RUN - > model.bitvit)")
    with tempfile.TemporaryDirectory(prefix="bitvit-export-") as folder:
        path = Path(folder) / "model.bitvit"
        with contextlib.redirect_stdout(sys.stderr):
            code = _export(arguments, path, "standard output")
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return code


def _check_target(out: Path) -> None:
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name the file to write")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out.absolute().parent}: no such folder to write into")


@dataclass(frozen=True)
class Packed:
    """A run that was packed into a file: how well it agrees, and the images on which that was measured."""

    report: ExportReport
    info: CheckpointInfo
    images: ImageSet | None


def pack_run(arguments: argparse.Namespace, out: Path) -> Packed:
    """Pack the run that the arguments name into a `.bitvit` file, and compare it with the checkpoint."""
    from bitvit.checkpoints import load_checkpoint, provenance
    from bitvit.export import export_model

    if arguments.run.suffix == ".bitvit":
        raise UsageError(f"{arguments.run} is packed already; from such a file, OUT is an .onnx file")
    model, info = load_checkpoint(arguments.run)
    if info.stage != "full":
        raise UsageError(
            f"{arguments.run}: this model is not fully binary (stage {info.stage!r}): export the finished student"
        )
    images = None
    if not arguments.no_compare:
        val = chosen_images(arguments, info.recipe.get("data", {}), info.labels, task=info.task).images
        images = val.subset(range(min(arguments.images or len(val), len(val))))
    report = export_model(
        model,
        out,
        labels=info.labels,
        preprocessing=info.preprocessing,
        provenance=provenance(info),
        images=() if images is None else images.batches(info.preprocessing, 64),
        threads=arguments.threads,
        task=info.task,
        colors=info.colors,
    )
    return Packed(report, info, images)


def report_rows(packed: Packed, size: int) -> list[list[str]]:
    """Return what a table says about the agreement with the checkpoint."""
    from bitvit.tasks import task_named

    report, task = packed.report, task_named(packed.info.task)
    rows = [
        ["checkpoint", f"{format_bytes(report.checkpoint_bytes)}, {report.checkpoint_bytes / size:.1f} times the file"]
    ]
    if report.identical_predictions is not None:
        what = "the pixels of " if task.is_for_pixels else ""
        rows.append(["identical predictions", f"{report.identical_predictions:.2%} of {what}{report.images} images"])
    if report.max_logit_difference is not None:
        rows.append(["largest logit difference", f"{report.max_logit_difference:.3g}"])
    if report.packed_accuracy is not None and report.checkpoint_accuracy is not None:
        rows.append(
            [task.metrics[0].title, f"{report.checkpoint_accuracy:.2%} checkpoint, {report.packed_accuracy:.2%} packed"]
        )
    return rows


def _export(arguments: argparse.Namespace, out: Path, shown: str | None = None) -> int:
    packed = pack_run(arguments, out)
    size = out.stat().st_size
    if arguments.json:
        print_json({"file": str(out), "size_bytes": size, **packed.report.as_dict()})
        return 0
    result = table("", ["", ""], [["file", f"{shown or out} ({format_bytes(size)})"], *report_rows(packed, size)], 2)
    result.show_header = False
    print_table(result)
    if arguments.no_compare:
        print_note("not compared with the checkpoint (--no-compare)")
    return 0
