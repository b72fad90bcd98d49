"""From a data set's name to images to train on and images to judge by."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np

from bitvit.data.chaoyang import load_chaoyang
from bitvit.data.cifar100 import load_cifar100
from bitvit.data.digits import load_digits
from bitvit.data.errors import DataError
from bitvit.data.flowers102 import load_flowers102
from bitvit.data.folder import load_image_folder
from bitvit.data.idx import has_idx_files, load_fashion_mnist, load_idx_folder
from bitvit.data.image_set import Data, ImageSet
from bitvit.data.splits import add_label_noise, fold_split, limit_samples_per_class, stratified_split
from bitvit.data.timm_sets import TIMM_PREFIXES, load_timm

__all__ = ["DATA_NAMES", "build_data"]

DATA_NAMES = ("digits", "fashion-mnist", "cifar100", "flowers102", "chaoyang", "folder", "idx")


def _load(name: str, data_dir: str | Path | None, val_fraction: float, split_seed: int) -> tuple[ImageSet, ImageSet]:
    if name == "digits":
        return stratified_split(load_digits(), val_fraction, split_seed)
    if name == "fashion-mnist":
        return load_fashion_mnist(data_dir)
    if name == "cifar100":
        return load_cifar100(data_dir)
    if name == "flowers102":
        return load_flowers102(data_dir)
    if name == "chaoyang":
        return load_chaoyang(data_dir)
    if name in ("folder", "idx"):
        if data_dir is None:
            raise DataError(f"data set '{name}' needs its folder: give --data-dir")
        folder = Path(data_dir).expanduser()
    elif name.partition("/")[0].lower() in TIMM_PREFIXES and "/" in name and not Path(name).exists():
        return load_timm(name, data_dir)
    else:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            close = difflib.get_close_matches(name, DATA_NAMES, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise DataError(
                f"unknown data set '{name}'{hint}: known are {', '.join(DATA_NAMES)}, timm's such as torch/cifar10, "
                "or a folder of images"
            )
    if name == "idx" or (name != "folder" and has_idx_files(folder)):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        return load_idx_folder(folder)
    return load_image_folder(folder, val_fraction, split_seed)


def _check_classes(part: ImageSet, what: str, *, need_all: bool) -> None:
    counts = np.bincount(part.targets, minlength=len(part.labels))
    if need_all and (counts == 0).any():
        empty = part.labels[int(np.flatnonzero(counts == 0)[0])]
        raise DataError(f"class '{empty}' has no {what} images")
    if not len(part):
        raise DataError(f"there are no {what} images")


def build_data(
    name: str,
    data_dir: str | Path | None = None,
    *,
    val_fraction: float = 0.2,
    split_seed: int = 0,
    samples_per_class: int | None = None,
    label_noise: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    seed: int = 0,
) -> Data:
    """Return the data set called `name`.

    Args:
        name: One of `DATA_NAMES`, one of timm's names (`torch/cifar10`), or the path of a folder of images or IDX
            files.
        data_dir: Where its files lie; by default the places of `bitvit.data.locations` are searched. Nothing is
            downloaded.
        val_fraction: Share of each class that validates, where the data set has no split of its own.
        split_seed: Seed of that split and of the folds; apart from `seed`, so that runs with several seeds are judged
            alike.
        samples_per_class: Train on this many images of each class.
        label_noise: Share of training images that get a wrong class (validation images keep theirs).
        folds, fold: Cross-validate on the training images: fold number `fold` (0-based) of `folds` takes the place of
            validation.
        seed: Seed of the choice of samples and of the label noise.

    Raises:
        DataError: if the data set is unknown, missing, damaged, or does not fit what is asked of it.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction must lie between 0 and 1, not {val_fraction:g}")
    if (folds is None) != (fold is None):
        raise DataError("cross-validation needs both the number of folds and the fold to validate on")
    train, val = _load(name, data_dir, val_fraction, split_seed)
    if len(train.labels) < 2:
        raise DataError(f"data set '{name}' has {len(train.labels)} class: at least 2 are needed to tell apart")
    if folds is not None and fold is not None:
        train, val = fold_split(train, folds, fold, split_seed)
    _check_classes(train, "training", need_all=True)
    _check_classes(val, "validation", need_all=False)
    if samples_per_class is not None:
        train = limit_samples_per_class(train, samples_per_class, seed)
    if label_noise:
        train = add_label_noise(train, label_noise, seed)
    return Data(name, train, val)
