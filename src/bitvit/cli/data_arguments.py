"""Choice of images on the command line: those of the training recipe, changed by options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.arguments import fraction, positive
from bitvit.cli.stored_images import check_stored_images, is_plain_name
from bitvit.errors import UsageError
from bitvit.text import printable

if TYPE_CHECKING:
    from bitvit.data import EvaluationData, Part

# Option -> key of a recipe's `data` section.
_KEYS = {
    "data": "name",
    "data_dir": "folder",
    "samples_per_class": "samples_per_class",
    "label_noise": "label_noise",
    "folds": "folds",
    "fold": "fold",
    "on_error": "on_error",
}


def add_data_arguments(parser: argparse.ArgumentParser, training: bool = False) -> None:
    """Declare `--data` and `--data-dir`, and for training what changes the training images."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--data",
        metavar="NAME|FOLDER",
        help="digits, fashion-mnist, cifar10, cifar100, flowers102, chaoyang, a timm data set, or a folder of images; "
        "for segmentation ade20k, voc, cityscapes, oxford-pet, or a folder with images/ and masks/",
    )
    group.add_argument("--data-dir", metavar="FOLDER", help="folder with the files of a named data set")
    group.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        help="images that cannot be read: stop and list them all, or skip them",
    )
    if training:
        group.add_argument("--samples-per-class", type=positive, metavar="N", help="train on N images of each class")
        group.add_argument(
            "--label-noise", type=fraction, metavar="F", help="give this fraction of the training images a wrong class"
        )
        group.add_argument(
            "--folds", type=positive, metavar="K", help="cross-validate on the training images in K folds"
        )
        group.add_argument(
            "--fold", type=int, metavar="I", help="train only fold I of K (0-based; default: all, one after another)"
        )


def data_choices(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, by their key in a recipe's `data` section."""
    given = {key: getattr(arguments, option, None) for option, key in _KEYS.items()}
    choices = {key: value for key, value in given.items() if value is not None}
    if "name" in choices and "folder" not in choices:
        choices["folder"] = None  # the recipe's folder belongs to the recipe's data set
    return choices


def chosen_images(
    arguments: argparse.Namespace,
    stored: Mapping[str, Any],
    labels: tuple[str, ...],
    part: Part | None = None,
    task: str = "classification",
    *,
    is_of_file: bool = False,
) -> EvaluationData:
    """Return images to evaluate a network on: those held out in its training, unless others are named.

    Of a folder that is named, and that the network was not trained on, all images are taken if it is not split.

    Args:
        arguments: with the options of `add_data_arguments`.
        stored: the `data` section of the recipe that the network was trained with; may be empty.
        labels: the network's class names.
        part: which images; None: see `build_evaluation`.
        task: what the network is for.
        is_of_file: whether `stored` comes from a `.bitvit` file, which may not choose a place on this machine.

    Raises:
        UsageError: no data set is known, or what is stored is damaged.
        DataError: it is missing or damaged, holds images that cannot be read, or has classes unknown to the network.
    """
    from bitvit.data import DataOptions, build_evaluation, check_images
    from bitvit.runtime.preprocessing import MAX_PIXELS, Decoding

    named = data_choices(arguments)
    stored = check_stored_images(stored)
    own = stored.get("name")
    if is_of_file and own and "name" not in named and not is_plain_name(own):
        raise UsageError(f"the network was trained on {printable(own)}: name these images with --data and --data-dir")
    if "name" not in named and not own:
        raise UsageError("the file does not say which images it was trained on: give --data NAME or --data FOLDER")
    place = {key: named.get(key, stored.get(key) if "name" not in named else None) for key in ("name", "folder")}
    same, remark = _was_trained_on(str(place["name"]), place["folder"], stored, is_named="name" in named)
    kept = ("val_fraction", "split_seed", "folds", "fold", "layout") if same else ()
    choice = {**{key: stored[key] for key in kept if stored.get(key) is not None}, **named, **place}
    name, folder = str(choice.pop("name")), choice.pop("folder", None)
    unused = ("samples_per_class", "label_noise", "on_error")
    options = DataOptions(
        **{key: value for key, value in choice.items() if key not in unused},
        decoding=Decoding(max_pixels=stored.get("max_pixels", MAX_PIXELS)),
        task=task,
    )
    found = build_evaluation(
        name,
        None if folder is None else Path(folder),
        options,
        labels=labels,
        part=part,
        was_trained_on=same,
    )
    if remark is not None:
        found = replace(found, notes=(remark, *found.notes))
    skips = (getattr(arguments, "on_error", None) or stored.get("on_error")) == "skip"
    images, notes = check_images(found.images, "skip" if skips else "stop")
    return replace(found, images=images, notes=(*found.notes, *notes))


def _was_trained_on(
    name: str, folder: str | None, stored: Mapping[str, Any], *, is_named: bool
) -> tuple[bool, str | None]:
    """Return whether a network was trained on a data set, and what is to be said about it.

    Published sets go by their name, folders by their place and by what is in them (`files_digest`).

    Raises:
        UsageError: the folder that it was trained on is not there, and no other is named.
    """
    from bitvit.data import DATA_NAMES, files_digest

    own, digest = stored.get("name"), stored.get("files_digest")
    given = Path(folder if name in ("folder", "idx") and folder else name).expanduser()
    if not given.is_dir():
        if not is_named and (given.is_absolute() or digest is not None):
            raise UsageError(
                f"{given}: no such folder, though the network was trained on it; give its new place with --data"
            )
        return name == own, None
    if not own:
        return False, None
    known = Path(str((stored.get("folder") if own in ("folder", "idx") else None) or own)).expanduser()
    is_place = known.is_absolute() and known.resolve() == given.resolve()
    # A .bitvit file keeps the folder's own name only, no path of the machine that it was made on.
    is_name = not known.is_absolute() and given.resolve().name == known.name
    if digest is None or name in DATA_NAMES[:-2]:
        return is_place or is_name or name == own, None
    if files_digest(given) == digest:
        return True, None
    if is_place:
        return True, f"{given}: its files have changed since the network was trained on it"
    if is_name:
        return False, f"{given}: not the files that the network was trained on, in a folder of that name"
    return False, None
