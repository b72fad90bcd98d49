"""`bitvit predict`: classify images with a packed file, without PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.arguments import positive
from bitvit.cli.output import print_error, print_json, print_table, table
from bitvit.errors import ImageError
from bitvit.image_files import find_images

if TYPE_CHECKING:
    from bitvit.runtime import Predictor

HELP = "classify images with a .bitvit file; PyTorch is not needed"
EXAMPLES = (
    "bitvit predict digits.bitvit photo.png",
    "bitvit predict digits.bitvit folder/ --top 1 --json",
    "BITVIT_ISA=portable bitvit predict digits.bitvit photo.png",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a .bitvit file")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image files, or folders of them")
    parser.add_argument(
        "--top", type=positive, default=5, metavar="K", help="classes to print for an image (default 5)"
    )
    parser.add_argument("--threads", type=positive, metavar="T", help="computing threads (default: all cores)")
    parser.add_argument("--batch", type=positive, default=32, metavar="B", help="images held in memory at a time")
    parser.add_argument("--json", action="store_true", help="print JSON: every logit and the best classes")


def run(arguments: argparse.Namespace) -> int:
    """Predict each image; one that cannot be read is reported, and the others are still predicted."""
    import bitvit

    paths = list(_expand(arguments.images))
    predictor = bitvit.load(arguments.file, threads=arguments.threads)
    results: list[dict[str, Any]] = []
    failed = 0
    for start in range(0, len(paths), arguments.batch):
        found, errors = _predict(predictor, paths[start : start + arguments.batch], arguments.top)
        results += found
        failed += errors
    if arguments.json:
        print_json({"file": str(arguments.file), "images": results})
    elif results:
        _print(results)
    return 2 if failed else 0


def _expand(paths: list[Path]) -> Iterator[Path]:
    """Yield the files, and for a folder the images in it and below, sorted."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = find_images(path)
        if not found.paths:
            reason = f" ({found.left_out})" if found.left_out.reasons() else ""
            raise ImageError(f"{path}: no images in this folder{reason}")
        yield from found.paths


def _predict(predictor: Predictor, paths: list[Path], top: int) -> tuple[list[dict[str, Any]], int]:
    import numpy as np

    from bitvit.runtime import load_image

    readable: list[Path] = []
    images = []
    for path in paths:
        try:
            images.append(load_image(path, predictor.preprocessing))
            readable.append(path)
        except ImageError as error:
            print_error(str(error))
    if not images:
        return [], len(paths)
    results = []
    for path, logits in zip(readable, predictor.logits(np.stack(images)), strict=True):
        shifted = np.exp(logits.astype(np.float64) - float(logits.max()))
        probabilities = shifted / shifted.sum()
        best = np.argsort(-logits, kind="stable")[:top]
        results.append(
            {
                "image": str(path),
                "predictions": [
                    {"label": predictor.labels[i], "index": int(i), "probability": float(probabilities[i])}
                    for i in best
                ],
                "logits": [float(value) for value in logits],
            }
        )
    return results, len(paths) - len(readable)


def _print(results: list[dict[str, Any]]) -> None:
    rows = []
    for result in results:
        first, *rest = result["predictions"]
        others = ", ".join(f"{item['label']} {item['probability']:.1%}" for item in rest)
        rows.append([result["image"], first["label"], f"{first['probability']:.1%}", others])
    print_table(table("", ["image", "class", "probability", "next"], rows, numeric_from=4))
