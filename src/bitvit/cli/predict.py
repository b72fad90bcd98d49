"""`bitvit predict`: classify images with a packed file, without PyTorch."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bitvit.cli.arguments import MODEL_HELP, add_model_argument, positive
from bitvit.cli.mask_files import OVERLAYS, MaskFiles
from bitvit.cli.output import as_argument, print_error, print_note
from bitvit.cli.output_files import refuse_inputs
from bitvit.cli.prediction_images import ImagesToPredict, PredictedImage
from bitvit.cli.prediction_progress import PredictionProgress
from bitvit.cli.prediction_writers import FORMATS, PartialFile, Writer, format_of, make_writer
from bitvit.errors import UsageError
from bitvit.text import printable

if TYPE_CHECKING:
    from bitvit.runtime import Predictor
    from bitvit.runtime.predictor import Answer

HELP = "classify images, or draw masks of photos, with a .bitvit file; PyTorch is not needed"
EXAMPLES = (
    "bitvit predict digits.bitvit photo.png",
    "bitvit predict digits.bitvit folder/ --top 1 --json",
    "bitvit predict digits.bitvit archive/ --out archive.csv --resume",
    "bitvit predict scenes.bitvit photo.jpg folder/ --out masks/ --overlay overlays/",
    "find . -newer last.csv -name '*.jpg' | bitvit predict digits.bitvit - --format jsonl",
    "BITVIT_ISA=portable bitvit predict digits.bitvit photo.png",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(parser, "file", metavar="FILE", help=MODEL_HELP)
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="image files, or folders of them; - is standard input: an image, or a list of paths",
    )
    parser.add_argument("--top", type=positive, default=5, metavar="K", help="classes to print per image (default 5)")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="the same as --format json")
    output.add_argument(
        "--format",
        choices=FORMATS,
        help="table; json: one document; jsonl: one object per line as results come; csv (default: table or by --out)",
    )
    output.add_argument(
        "--out",
        metavar="PATH",
        default="-",
        help="file to write; - is standard output (default). Segmentation: folder for masks, indexed PNG of the "
        "photos' own sizes",
    )
    output.add_argument(
        "--overlay",
        metavar="FOLDER",
        nargs="?",
        const="",
        help="segmentation: draw each photo with its classes' colours, too (default folder: overlays in that of --out)",
    )
    output.add_argument(
        "--resume", action="store_true", help="with --out .jsonl or .csv: continue where an interrupted command stopped"
    )
    output.add_argument("--logits", action="store_true", help="add all logits to JSON, with nine digits: exact float32")
    reading = parser.add_argument_group("reading and computing")
    reading.add_argument(
        "--bit-depth",
        type=positive,
        metavar="N",
        help="bit depth of images with more than 8 bits whose files do not state it, such as 12",
    )
    reading.add_argument("--max-pixels", type=positive, metavar="N", help="refuse larger images (default 89478485)")
    reading.add_argument("--threads", type=positive, metavar="T", help="computing threads (default: all cores)")
    reading.add_argument(
        "--workers", type=positive, metavar="W", help="threads that decode images (default: all cores)"
    )
    reading.add_argument("--batch", type=positive, default=32, metavar="B", help="images per batch (default 32)")


def run(arguments: argparse.Namespace) -> int:
    """Predict each image; one that cannot be read is reported, and the others are still predicted."""
    import bitvit
    from bitvit.runtime.pixel_depth import range_of_bits

    if arguments.file.suffix != ".bitvit":
        network = next((word for word in arguments.images if word.endswith(".bitvit")), None)
        if network is not None:
            raise UsageError(f"{arguments.file}: the network comes first: bitvit predict {as_argument(network)} IMAGE")
    predictor = bitvit.load(arguments.file, threads=arguments.threads)
    masks = None
    if predictor.info.task == "segmentation":
        masks = _mask_files(arguments)
        arguments.out = "-"
    elif arguments.overlay is not None:
        raise UsageError(f"--overlay: {arguments.file} is for classification and draws nothing")
    kind = format_of(arguments.format, arguments.json, arguments.out)
    if arguments.resume and (arguments.out == "-" or kind not in ("jsonl", "csv")):
        raise UsageError("--resume needs --out with a .jsonl or .csv file: only these can be continued")
    if arguments.max_pixels is not None:
        predictor.decoding = replace(predictor.decoding, max_pixels=arguments.max_pixels)
    if arguments.bit_depth is not None:
        predictor.decoding = replace(predictor.decoding, value_range=range_of_bits(arguments.bit_depth))
    target = None
    if arguments.out != "-":
        target = PartialFile(Path(arguments.out), _digest(arguments, kind), lines=kind in ("jsonl", "csv"))
        if arguments.resume and target.is_finished:
            print_note(f"{arguments.out} is complete; run without --resume to write it again")
            writer = make_writer(kind, target, arguments.file, arguments.top, logits=False)
            return _code(0, writer.failed_in(target.written()), arguments.out)
    images = ImagesToPredict(arguments.images)
    if target is not None:
        refuse_inputs(target.path, (arguments.file, *images.known))
    if masks is not None:
        masks.check(images.known)
    top = min(arguments.top, len(predictor.labels))
    with make_writer(kind, target, arguments.file, top, logits=arguments.logits) as writer:
        done = writer.resume(arguments.resume)
        failed = _predict_all(predictor, images, writer, done, arguments, masks)
    return _code(failed + images.failed, writer.failed_before, arguments.out)


def _code(failed: int, failed_before: int, out: str) -> int:
    """Return the exit code: that of the whole work, whether it was done at once or in parts."""
    if failed_before:
        print_error(f"{failed_before} of the images in {out} could not be read when they were predicted")
    return 2 if failed or failed_before else 0


def _mask_files(arguments: argparse.Namespace) -> MaskFiles:
    """Return what writes masks and overlays where they are asked for."""
    folder = None if arguments.out == "-" else Path(arguments.out)
    overlays = None
    if arguments.overlay is not None:
        if not arguments.overlay and folder is None:
            raise UsageError("--overlay: name its folder, or that of the masks with --out")
        overlays = Path(arguments.overlay) if arguments.overlay else (folder or Path()) / OVERLAYS
    return MaskFiles(folder, overlays, arguments.images)


def _digest(arguments: argparse.Namespace, kind: str) -> str:
    """Return what identifies a partial output file: the network, and the options of what is written."""
    digest = hashlib.sha256(arguments.file.read_bytes())
    digest.update(repr((kind, arguments.top, arguments.logits, arguments.bit_depth)).encode())
    return digest.hexdigest()[:12]


def _predict_all(
    predictor: Predictor,
    images: ImagesToPredict,
    writer: Writer,
    done: Counter[str],
    arguments: argparse.Namespace,
    masks: MaskFiles | None,
) -> int:
    """Write the answer for every image; return how many cannot be read."""
    failed = written = 0
    doubts: Counter[str] = Counter()
    progress = PredictionProgress(images.total, already=sum(done.values()), at_least=2 * arguments.batch)
    try:
        with progress:
            for answer in _answers(predictor, _not_done(images, done), arguments):
                name = str(answer.source)
                if answer.error is not None:
                    failed += 1
                    print_error(str(answer.error))
                if answer.note is not None:
                    doubts[answer.note.partition(":")[0]] += 1
                    if sum(doubts.values()) <= 3:
                        print_note(f"note: {printable(name, None)}: {answer.note} (--bit-depth)")
                if masks is not None and answer.prediction is not None:
                    masks.write(answer.source, answer.prediction)
                writer.write(name, answer.prediction, answer.error)
                written += 1
                progress.update(written)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(writer.interrupted(written)) from None
    if sum(doubts.values()) > 3:
        print_note(f"note: the same applies to {sum(doubts.values()) - 3} more images")
    return failed


def _answers(
    predictor: Predictor,
    images: Iterable[PredictedImage],
    arguments: argparse.Namespace,
) -> Iterator[Answer[PredictedImage]]:
    return predictor.stream(images, top_k=arguments.top, batch_size=arguments.batch, workers=arguments.workers)


def _not_done(images: Iterable[PredictedImage], done: Counter[str]) -> Iterator[PredictedImage]:
    left = done.copy()
    for image in images:
        if left[str(image)] > 0:
            left[str(image)] -= 1
        else:
            yield image
