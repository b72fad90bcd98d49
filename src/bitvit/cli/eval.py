"""`bitvit eval`: accuracy of a run, a checkpoint or a packed file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bitvit.cli.arguments import MODEL_HELP, add_model_argument, positive
from bitvit.cli.data_arguments import add_data_arguments, chosen_images
from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import print_json, print_note, print_table, table
from bitvit.cli.stored_images import images_of_file

if TYPE_CHECKING:
    from bitvit.data import EvaluationData
    from bitvit.tasks import Evaluation

HELP = "measure the accuracy of a run, a checkpoint or a .bitvit file"
EXAMPLES = (
    "bitvit eval runs/digits",
    "bitvit eval digits.bitvit --data digits --json",
    "bitvit eval runs/digits/teacher.safetensors --per-class",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model_argument(
        parser,
        "model",
        metavar="RUN|CHECKPOINT|FILE",
        help=f"a run folder, a checkpoint, {MODEL_HELP}",
        or_folder=True,
    )
    parser.add_argument(
        "--split",
        choices=("val", "train", "test", "all"),
        help="images to evaluate (default: those held out in training; all images of another folder without splits)",
    )
    parser.add_argument("--batch", type=positive, default=64, metavar="B", help="images per batch (default 64)")
    parser.add_argument("--threads", type=positive, metavar="T", help="threads of the engine, for a .bitvit file")
    parser.add_argument("--device", default="cpu", help="PyTorch device, for a checkpoint (default cpu)")
    parser.add_argument("--per-class", action="store_true", help="print the figures of every class")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_data_arguments(parser)
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate on the validation images of the recipe, or on those that are named."""
    packed = arguments.model.suffix == ".bitvit"
    data, result = (_evaluate_file if packed else _evaluate_checkpoint)(arguments)
    for note in data.notes:
        print_note(f"note: {note}")
    if arguments.json:
        print_json({"model": str(arguments.model), "data": data.name, "split": data.part, **result.to_dict()})
        return 0
    rows = [
        ["images", f"{result.images} ({data.name}, {data.part})"],
        *([name, text] for name, text in result.rows()),
    ]
    tables = [table("", ["", ""], rows, numeric_from=2)]
    tables[0].show_header = False
    if arguments.per_class:
        tables.append(table("", ["class", ""], [[label, text] for label, text in result.class_rows()]))
    print_table(*tables)
    doubt = result.doubt()
    for warning in (*(() if doubt is None else (doubt.text,)), *result.warnings()):
        print_note(f"warning: {warning}")
    return 0


def _evaluate_checkpoint(arguments: argparse.Namespace) -> tuple[EvaluationData, Evaluation]:
    load_pytorch()
    from bitvit.checkpoints import load_checkpoint
    from bitvit.tasks import task_named
    from bitvit.training.evaluation import evaluate

    model, info = load_checkpoint(arguments.model, arguments.device)
    data = chosen_images(arguments, info.recipe.get("data", {}), info.labels, arguments.split, info.task)
    options: dict[str, Any] = {"batch_size": arguments.batch, "device": arguments.device}
    result = evaluate(model, data.images, info.preprocessing, task=task_named(info.task), **options)
    return data, result


def _evaluate_file(arguments: argparse.Namespace) -> tuple[EvaluationData, Evaluation]:
    import bitvit
    from bitvit.tasks import Classes, task_named

    predictor = bitvit.load(arguments.model, threads=arguments.threads)
    stored = images_of_file(predictor.info.provenance)
    task = predictor.info.task
    data = chosen_images(arguments, stored, tuple(predictor.labels), arguments.split, task, is_of_file=True)
    scorer = task_named(task).scorer(Classes(data.images.labels), predictor.preprocessing)
    for batch, targets in data.images.batches(predictor.preprocessing, arguments.batch):
        scorer.add(predictor.outputs(batch), targets)
    return data, scorer.result()
