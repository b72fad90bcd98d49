"""`bitvit train`: teacher, two stages, report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.data_arguments import add_data_arguments, data_choices
from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import as_argument, format_bytes, print_json, print_note, print_table, table
from bitvit.errors import UsageError

if TYPE_CHECKING:
    from bitvit.data import Data
    from bitvit.training import TrainingReport
    from bitvit.training.recipe import DataChoice

HELP = "train a 1-bit model, from a full-precision teacher, in two stages"
EXAMPLES = (
    "bitvit train --recipe gsb-micro --data digits --out runs/digits",
    "bitvit train --data photos/ --out runs/photos stage2.epochs=50 batch_size=32",
    "bitvit train --data scenes/ --out runs/scenes   # a folder with images/ and masks/: segmentation",
    "bitvit train --out runs/photos --resume",
    "bitvit train --data digits --folds 5 --out runs/folds",
    "bitvit train --recipe my.yaml --teacher runs/digits --out runs/second",
    "bitvit train --data photos/ --teacher timm:resnet18 --out runs/photos   # pretrained, fine-tuned on the photos",
)

_DATA_ONLY = "gsb-micro"  # any recipe will do to find out which images are meant
_TIMM = "timm:"
_NETWORKS = ("model.name", "model.weights", "model.scheme", "model.kwargs", "model.init", "teacher.model")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--recipe",
        metavar="NAME|YAML",
        help="a packaged recipe or a YAML file (default: chosen by the images; with --resume the run's)",
    )
    parser.add_argument(
        "--task",
        metavar="TASK",
        help="what to train for: classification (default) or segmentation (default for data with masks)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in that folder after its last finished epoch"
    )
    parser.add_argument(
        "--teacher",
        metavar="RUN|FILE|timm:NAME",
        help="use this trained teacher instead of training one; timm:NAME fine-tunes timm's pretrained network",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="random seed of the whole run")
    parser.add_argument("--show-recipe", action="store_true", help="print the resolved recipe as YAML and stop")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="values that replace the recipe's, such as stage2.epochs=50",
    )
    add_data_arguments(parser, training=True)
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train one run, or one for each fold."""
    load_pytorch("lightning.pytorch")
    from bitvit.training import Recipe, is_first_process, train
    from bitvit.training.run_folder import RunFolder

    _refuse_stray_folders(arguments)
    is_first = is_first_process()
    choices = _choices(arguments)
    task = _task(arguments)
    if task is not None:
        choices["task.name"] = task
    changes = [*_texts(choices), *arguments.overrides]
    folders = _folders(arguments)
    if arguments.resume and not any((folder / "recipe.yaml").is_file() for folder in folders.values()):
        raise UsageError(f"{arguments.out}: there is no run to resume; leave out --resume to start one")
    if is_first and not arguments.show_recipe:
        for folder in folders.values():  # before the images, which take longer to look at
            RunFolder(folder.expanduser()).check_owner(arguments.resume)
    source, data = _source(arguments, changes, folders)
    if arguments.show_recipe:
        print(Recipe.load(source, changes).to_yaml(), end="")
        return 0
    reports = []
    for fold, folder in folders.items():
        if fold is not None:
            print_note(f"fold {fold} of {arguments.folds}")
            changes = [*changes, f"data.fold={fold}"]
        recipe = Recipe.load(source, changes)
        report = train(
            recipe,
            folder,
            arguments.resume,
            data=data if fold is None else None,
            progress=is_first,
            note=print_note if is_first else lambda line: None,
            estimates=True,
        )
        reports.append(report)
    if not is_first:
        return 0
    if None not in folders:
        return _print_folds(reports, arguments.json)
    if arguments.json:
        print_json({"out": str(arguments.out), **reports[0].to_dict()})
        return 0
    _print(reports[0])
    name = arguments.out.resolve().name or "model"
    print_note(f"next: bitvit export {as_argument(arguments.out)} {as_argument(f'{name}.bitvit')}")
    return 0


def _refuse_stray_folders(arguments: argparse.Namespace) -> None:
    """Refuse folders that stand where values of the recipe do: without `--data`, or after it by a shell's `*`."""
    for word in arguments.overrides:
        if "=" not in word and Path(word).expanduser().exists():
            if arguments.data is None:
                raise UsageError(f"{word}: images are named with --data: --data {as_argument(word)}")
            raise UsageError(
                f"{word}: --data takes one folder, with a folder of images for each class; {arguments.data} is another"
            )


def _task(arguments: argparse.Namespace) -> str | None:
    """Return the task that was asked for, or that the data is for; None if neither is known."""
    from bitvit.data.segmentation import is_segmentation

    if arguments.task is not None:
        return str(arguments.task)
    named = arguments.data if arguments.data is not None else "folder"
    return "segmentation" if is_segmentation(named, arguments.data_dir) else None


def _folders(arguments: argparse.Namespace) -> dict[int | None, Path]:
    """Return the folders to train in, by the fold that validates (None without cross-validation in turn)."""
    if arguments.folds is None or arguments.fold is not None:
        return {None: arguments.out}
    return {fold: arguments.out / f"fold{fold}" for fold in range(arguments.folds)}


def _source(
    arguments: argparse.Namespace, changes: list[str], folders: dict[int | None, Path]
) -> tuple[str, Data | None]:
    """Return the recipe to start from, and the data set if it had to be looked at."""
    from bitvit.training import Recipe, choose_recipe, data_of

    if arguments.recipe is not None:
        return arguments.recipe, None
    if arguments.resume:
        stored = next(folder / "recipe.yaml" for folder in folders.values() if (folder / "recipe.yaml").is_file())
        _refuse_lost_images(Recipe.load(stored, changes).data)
        return str(stored), None
    if any(change.startswith(_NETWORKS) for change in arguments.overrides):
        return _DATA_ONLY, None  # whoever names a network does not want another one chosen
    data = data_of(Recipe.load(_DATA_ONLY, changes))
    choice = choose_recipe(data)
    print_note(f"recipe {choice.name}: {choice.reason} (--recipe chooses another)")
    return choice.name, data


def _refuse_lost_images(choice: DataChoice) -> None:
    for place in (choice.name, choice.folder):
        if place is not None and Path(place).is_absolute() and not Path(place).exists():
            option = "--data" if place == choice.name else "--data-dir"
            raise UsageError(
                f"{place}: the images of this run are no longer there; give their new place with {option} FOLDER"
            )


def _choices(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the options change in the recipe, by its keys."""
    if arguments.fold is not None and arguments.folds is None:
        raise UsageError("--fold needs --folds (their number)")
    choices = {f"data.{key}": value for key, value in data_choices(arguments).items()}
    if arguments.folds is not None:
        choices["data.fold"] = arguments.fold or 0
    if arguments.seed is not None:
        choices["seed"] = arguments.seed
    if arguments.teacher is not None:
        choices |= _teacher_choices(arguments.teacher)
    return choices


def _teacher_choices(teacher: str) -> dict[str, Any]:
    if teacher.startswith(_TIMM):
        return {
            "teacher.model": teacher.removeprefix(_TIMM),
            "teacher.pretrained": True,
            "teacher.weights": None,
            "model.init": "scratch",  # few have the student's shape
        }
    return {
        "teacher.weights": teacher,
        "teacher.pretrained": False,
        "teacher.epochs": 0,
        "teacher.warmup_epochs": 0,
        "teacher.data": None,
    }


def _texts(choices: dict[str, Any]) -> list[str]:
    """Return choices in the form of overrides; JSON is YAML, so any text survives."""
    import json

    return [f"{key}={json.dumps(value)}" for key, value in choices.items()]


def _print(report: TrainingReport) -> None:
    from bitvit.tasks import task_named

    rows = [
        [
            phase.phase,
            phase.model,
            str(phase.epochs),
            f"{phase.seconds:.0f}",
            f"{phase.evaluation.loss:.4f}",
            f"{phase.evaluation.score:.2%}",
            f"{phase.best.value:.2%} ({phase.best.epoch})" if phase.best is not None else "",
            f"{phase.average.score:.2%}" if phase.average is not None else "",
            format_bytes(phase.checkpoint.stat().st_size),
        ]
        for phase in report.phases
    ]
    title = f"{report.recipe.data.name}: {report.train_images} training, {report.val_images} validation images"
    metric = task_named(report.recipe.task.name).metrics[0].title
    columns = ["phase", "model", "epochs", "seconds", "loss", metric, "best (epoch)", "averaged", "checkpoint"]
    print_table(table(title, columns, rows, numeric_from=2))
    best = report.final.best
    if best is not None:
        print_note(
            f"model.safetensors holds the last epoch ({report.final.epochs}), {best.checkpoint} the best by validation "
            f"({best.epoch}: {metric} {best.value:.2%})"
        )
    for warning in report.warnings:
        print_note(f"warning: {warning}")
    print_note(f"all results are in {report.folder}")


def _print_folds(reports: list[TrainingReport], as_json: bool) -> int:
    from statistics import mean, stdev

    from bitvit.tasks import task_named

    metric = task_named(reports[0].recipe.task.name).metrics[0]
    accuracies = [report.final.evaluation.score for report in reports]
    spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
    if as_json:
        folds = [report.to_dict() for report in reports]
        key = metric.key
        print_json({"folds": folds, f"{key}_mean": mean(accuracies), f"{key}_standard_deviation": spread})
        return 0
    rows = [[str(fold), f"{accuracy:.2%}"] for fold, accuracy in enumerate(accuracies)]
    rows.append(["mean and standard deviation", f"{mean(accuracies):.2%} ± {100 * spread:.2f}"])
    print_table(table("", ["fold", metric.title], rows))
    return 0
