"""`bitvit import`: a checkpoint of the authors' code to one of bitvit."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.deferred_imports import load_pytorch
from bitvit.cli.output import as_argument, format_bytes, print_json, print_note, print_table, table
from bitvit.cli.output_files import refuse_inputs
from bitvit.errors import UsageError

if TYPE_CHECKING:
    from bitvit.checkpoints import ImportedCheckpoint

HELP = "convert a checkpoint released by the authors of GSB, BinaryViT or BHViT"
EXAMPLES = (
    "bitvit import gsb.pth --family gsb --out gsb.safetensors",
    "bitvit import bhvit.pth --family bhvit --config config.json --labels labels.txt --out bhvit.safetensors",
    "bitvit export gsb.safetensors gsb.bitvit --data photos/",
)

# As in bitvit.models.reference.FAMILIES, which is not imported for `--help`.
FAMILIES = ("gsb", "binaryvit", "reactdeit", "bhvit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="the .pth or .safetensors file")
    parser.add_argument("--family", choices=FAMILIES, help="model family (default: inferred from the tensors)")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="JSON",
        help="how the authors' code was configured (default: inferred from the tensors)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="class names: one per line, or JSON (default: class 0, class 1, ...)",
    )
    for name in ("mean", "std"):
        parser.add_argument(
            f"--{name}",
            type=float,
            nargs=3,
            metavar=("R", "G", "B"),
            help=f"{name} of the normalization it was trained with (default: ImageNet's)",
        )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Import, write, and print what was found."""
    _check_out(arguments)
    load_pytorch()
    from bitvit.checkpoints import import_checkpoint

    imported = import_checkpoint(
        arguments.checkpoint,
        arguments.out,
        family=arguments.family,
        config=_config(arguments.config),
        labels=_labels(arguments.labels),
        mean=_three(arguments.mean, "mean"),
        std=_three(arguments.std, "std"),
    )
    document = _document(imported, arguments.out)
    if arguments.json:
        print_json(document)
        return 0
    info = imported.info
    height, width = info.preprocessing.image_size
    rows = [
        ["file", f"{arguments.out} ({format_bytes(document['size_bytes'])})"],
        ["family", imported.family],
        ["model", info.model.name],
        ["binary", "weights and activations" if info.stage == "full" else "weights"],
        ["image", f"{height}x{width}"],
        ["classes", str(info.model.num_classes)],
        ["parameters", f"{document['parameters']:,}"],
    ]
    result = table("", ["", ""], rows, numeric_from=2)
    result.show_header = False
    print_table(result)
    for note in imported.notes:
        print_note(f"note: {note}")
    if info.stage == "full":
        packed = as_argument(f"{arguments.out.stem}.bitvit")
        print_note(f"next: bitvit export {as_argument(arguments.out)} {packed} --data FOLDER")
    return 0


def _check_out(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: name the file to write *.safetensors")
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name the file to write")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out.absolute().parent}: no such folder to write into")
    refuse_inputs(out, [arguments.checkpoint])


def _document(imported: ImportedCheckpoint, out: Path) -> dict[str, Any]:
    info = imported.info
    return {
        "file": str(out),
        "size_bytes": out.stat().st_size,
        "family": imported.family,
        "stage": info.stage,
        "model": info.model.to_dict(),
        "parameters": sum(parameter.numel() for parameter in imported.model.parameters()),
        "image_size": list(info.preprocessing.image_size),
        "mean": list(info.preprocessing.mean),
        "std": list(info.preprocessing.std),
        "labels": list(info.labels),
        "notes": list(imported.notes),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a text file") from None


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not valid JSON ({error})") from None


def _config(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    config = _json(path, _text(path))
    if not isinstance(config, dict):
        raise UsageError(f"{path}: the config must be a JSON object")
    return config


def _labels(path: Path | None) -> list[str] | None:
    """Class names from lines, from a JSON list, or from a JSON object of indices to names (or to [id, name])."""
    if path is None:
        return None
    text = _text(path)
    if path.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    names = _json(path, text)
    if isinstance(names, dict):
        indices = [str(index) for index in range(len(names))]
        if set(names) != set(indices):
            raise UsageError(f"{path}: the keys must be the class indices 0 to {len(names) - 1}")
        names = [names[index][-1] if isinstance(names[index], list) else names[index] for index in indices]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UsageError(f"{path}: the labels must be a list of names, or an object of class indices to names")
    return names


def _three(values: list[float] | None, name: str) -> tuple[float, float, float] | None:
    if values is None:
        return None
    red, green, blue = values
    if not all(abs(value) < float("inf") and (name == "mean" or value > 0) for value in values):
        raise UsageError(f"--{name}: {'positive' if name == 'std' else 'finite'} numbers are needed")
    return red, green, blue
