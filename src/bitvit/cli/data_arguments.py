"""Choice of images on the command line: those of the training recipe, changed by options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.cli.arguments import fraction, positive
from bitvit.errors import UsageError

if TYPE_CHECKING:
    from bitvit.data import Data

# Option -> key of a recipe's `data` section.
_KEYS = {
    "data": "name",
    "data_dir": "folder",
    "samples_per_class": "samples_per_class",
    "label_noise": "label_noise",
    "folds": "folds",
    "fold": "fold",
}


def add_data_arguments(parser: argparse.ArgumentParser, training: bool = False) -> None:
    """Declare `--data` and `--data-dir`, and for training what changes the training images."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--data",
        metavar="NAME|FOLDER",
        help="digits, fashion-mnist, cifar100, flowers102, chaoyang, a timm data set, or a folder of images",
    )
    group.add_argument("--data-dir", metavar="FOLDER", help="where the files of a named data set lie")
    if training:
        group.add_argument("--samples-per-class", type=positive, metavar="N", help="train on N images of each class")
        group.add_argument("--label-noise", type=fraction, metavar="F", help="give this share of images a wrong class")
        group.add_argument(
            "--folds", type=positive, metavar="K", help="cross-validate on the training images in K folds"
        )
        group.add_argument("--fold", type=int, metavar="I", help="only fold I of K (0-based; default: all in turn)")


def data_choices(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, by their key in a recipe's `data` section."""
    given = {key: getattr(arguments, option, None) for option, key in _KEYS.items()}
    choices = {key: value for key, value in given.items() if value is not None}
    if "name" in choices and "folder" not in choices:
        choices["folder"] = None  # the recipe's folder belongs to the recipe's data set
    return choices


def build_chosen_data(arguments: argparse.Namespace, stored: Mapping[str, Any], labels: tuple[str, ...]) -> Data:
    """Return the data set to judge a network by: that of its training, unless another one is named.

    Args:
        arguments: with the options of `add_data_arguments`.
        stored: the `data` section of the recipe that the network was trained with; may be empty.
        labels: the network's class names.

    Raises:
        UsageError: no data set is known, or it has other classes than the network.
    """
    from bitvit.data import build_data

    names = ("name", "folder", "val_fraction", "split_seed", "folds", "fold")
    choice = {**{key: stored[key] for key in names if stored.get(key) is not None}, **data_choices(arguments)}
    if "name" not in choice:
        raise UsageError("the file does not say which images it was trained on: give --data NAME or --data FOLDER")
    name, folder = choice.pop("name"), choice.pop("folder", None)
    data = build_data(name, None if folder is None else Path(folder), **choice)
    if len(data.labels) != len(labels):
        raise UsageError(
            f"{name} has {len(data.labels)} classes, the network {len(labels)}: choose other images with --data"
        )
    if data.labels != labels:
        mine, theirs = next((a, b) for a, b in zip(labels, data.labels, strict=True) if a != b)
        raise UsageError(
            f"{name} has other classes than the network (such as {theirs!r} for {mine!r}): choose with --data"
        )
    return data
