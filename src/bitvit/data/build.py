"""From a data set's name to images to train on and images to evaluate on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from bitvit.data.chaoyang import load_chaoyang
from bitvit.data.cifar import load_cifar10, load_cifar100
from bitvit.data.class_order import ClassOrder
from bitvit.data.digits import load_digits
from bitvit.data.errors import DataError
from bitvit.data.flowers102 import load_flowers102
from bitvit.data.folder import load_image_folder
from bitvit.data.folder_layout import Layout
from bitvit.data.idx import has_idx_files, load_fashion_mnist, load_idx_folder
from bitvit.data.image_set import Data, ImageSet, join
from bitvit.data.options import DataOptions
from bitvit.data.segmentation.build import build_segmentation_data, is_segmentation, load_segmentation
from bitvit.data.segmentation.segmentation_set import join_pairs
from bitvit.data.shards import find_shards, load_shards
from bitvit.data.splits import add_label_noise, fold_split, limit_samples_per_class, stratified_split
from bitvit.data.target_set import absent_classes
from bitvit.data.timm_sets import TIMM_PREFIXES, load_timm
from bitvit.text import listed, printable

__all__ = ["DATA_NAMES", "EvaluationData", "Part", "build_data", "build_evaluation", "build_pool"]

DATA_NAMES = ("digits", "fashion-mnist", "cifar10", "cifar100", "flowers102", "chaoyang", "folder", "idx")
_PUBLISHED = {
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "flowers102": load_flowers102,
    "chaoyang": load_chaoyang,
}

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")

Part: TypeAlias = Literal["train", "val", "test", "all"]

_DEFAULT = DataOptions()


@dataclass
class _Loaded:
    """A data set as stored: training images, and held-out ones if it has any."""

    train: ImageSet | None
    val: ImageSet | None
    test: ImageSet | None = None
    notes: list[str] = field(default_factory=list)

    def split(self, where: str, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
        """Return training and held-out images; where there are none of the latter, a share of every class.

        Raises:
            DataError: there are only held-out images.
        """
        if self.train is None:
            raise DataError(f"{where}: has held-out images only; for training, expected train/CLASS/... as well")
        return (self.train, self.val) if self.val is not None else stratified_split(self.train, val_fraction, seed)


def _load(
    name: str, data_dir: str | Path | None, layout: Layout, order: ClassOrder, labels: Sequence[str] | None = None
) -> _Loaded:
    here = Path(name).expanduser()
    notes = []
    if name in DATA_NAMES[:-2] and data_dir is None and here.is_dir() and any(here.iterdir()):
        # A folder that lies here is what the user sees, so it is meant.
        notes.append(f"'{name}' is the folder {here.absolute()}, not the data set that bitvit knows by this name")
        published = _published_in(name, here)
        if published is not None:
            return published
    elif name == "digits":
        return _Loaded(load_digits(), None)
    elif name in _PUBLISHED:
        return _Loaded(*_PUBLISHED[name](data_dir))
    if not name:
        raise DataError("the name of the data set is empty")
    if name in ("folder", "idx"):
        if data_dir is None:
            raise DataError(f"data set '{name}' needs its folder: give --data-dir")
        folder = Path(data_dir).expanduser()
    elif name.partition("/")[0].lower() in TIMM_PREFIXES and "/" in name and not here.exists():
        return _Loaded(*load_timm(name, data_dir))
    else:
        folder = here
        if not folder.is_dir():
            raise DataError(_unknown(name, folder))
    if name == "idx" or (name != "folder" and has_idx_files(folder)):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        return _Loaded(*load_idx_folder(folder), notes=notes)
    if find_shards(folder):
        found = load_shards(folder, order)
    else:
        found = load_image_folder(folder, layout=layout, class_order=order, labels=labels)
    return _Loaded(found.train, found.val, found.test, notes + found.notes)


def _published_in(name: str, folder: Path) -> _Loaded | None:
    """Return the published data set if its files lie in a folder of its name."""
    try:
        return _Loaded(*_PUBLISHED[name](folder)) if name in _PUBLISHED else None
    except DataError:
        return None


def _unknown(name: str, folder: Path) -> str:
    shown = printable(name)
    if folder.is_file():
        archive = folder.suffix.lower() in _ARCHIVES
        hint = "; unpack it first" if archive else ""
        return f"{shown}: this is a file, expected a folder of images or the name of a data set{hint}"
    if folder.is_symlink():
        return f"{shown}: this is a link that leads nowhere"
    looks_like_path = "/" in name or "\\" in name or folder.is_absolute()
    close = difflib.get_close_matches(name, DATA_NAMES, n=1)
    if looks_like_path:
        return f"{shown}: no such folder (from {Path.cwd()})"
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    return (
        f"unknown data set '{shown}'{hint}: known are {', '.join(DATA_NAMES)}, timm's such as torch/cifar10, "
        "or a folder of images"
    )


def _note_unjudged(val: ImageSet, notes: list[str]) -> None:
    """Name the classes of a single image, which a split leaves to training."""
    alone = absent_classes(val)
    if alone:
        notes.append(f"too few images to hold one out, so never evaluated: {listed(alone, 8)}")


def _check_classes(part: ImageSet, what: str, *, need_all: bool, where: str = "") -> None:
    counts = np.bincount(part.targets, minlength=len(part.labels))
    if need_all and (counts == 0).any():
        empty = part.labels[int(np.flatnonzero(counts == 0)[0])]
        raise DataError(f"class '{printable(empty)}' has no {what} images")
    if not len(part):
        place = f"{where}: " if where else ""
        raise DataError(f"{place}there are no {what} images: add some, or remove their empty folder")


def build_data(name: str, data_dir: str | Path | None = None, options: DataOptions = _DEFAULT) -> Data:
    """Return the data set called `name`, for training.

    Args:
        name: One of `DATA_NAMES`, one of timm's names (`torch/cifar10`), or the path of a folder of images, of
            IDX files, or of WebDataset shards. A folder that exists comes before a data set of the same name.
        data_dir: Where its files lie; by default the places of `bitvit.data.locations` are searched. Nothing is
            downloaded.
        options: How it is read and divided.

    Raises:
        DataError: if the data set is unknown, missing, damaged, or does not fit what is asked of it.
    """
    if options.task == "segmentation" or (options.task is None and is_segmentation(name, data_dir)):
        for key in ("samples_per_class", "label_noise", "folds"):
            if getattr(options, key) != getattr(_DEFAULT, key):
                raise DataError(f"{key}: is for classification only, but '{printable(name)}' is for segmentation")
        return build_segmentation_data(
            name,
            data_dir,
            val_fraction=options.val_fraction,
            split_seed=options.split_seed,
            decoding=options.decoding,
        )
    if not 0 < options.val_fraction < 1:
        raise DataError(f"val_fraction must be between 0 and 1, not {options.val_fraction:g}")
    folds, fold = options.folds, options.fold
    if (folds is None) != (fold is None):
        raise DataError("cross-validation needs both the number of folds and the fold to validate on")
    loaded = _load(name, data_dir, options.layout, options.class_order)
    train, val = loaded.split(str(data_dir or name), options.val_fraction, options.split_seed)
    if len(train.labels) < 2:
        raise DataError(f"data set '{printable(name)}' has {len(train.labels)} class: at least 2 are needed")
    if folds is not None and fold is not None:
        train, val = fold_split(train, folds, fold, options.split_seed)
    _check_classes(train, "training", need_all=True)
    _check_classes(val, "validation", need_all=False, where=str(data_dir or name))
    if loaded.val is None and folds is None:
        _note_unjudged(val, loaded.notes)
    if options.samples_per_class is not None:
        train = limit_samples_per_class(train, options.samples_per_class, options.seed)
    if options.label_noise:
        train = add_label_noise(train, options.label_noise, options.seed)
    if options.decoding is not None:
        train, val = train.decoded(options.decoding), val.decoded(options.decoding)
    return Data(name, train, val, notes=tuple(loaded.notes))


def build_pool(name: str, data_dir: str | Path | None, options: DataOptions, labels: Sequence[str]) -> ImageSet:
    """Return all training images of a data set, whole where it has no split of its own, with given classes.

    Args:
        name: as in `build_data`.
        data_dir: as in `build_data`.
        options: how it is read; what selects or divides images does not count here.
        labels: the classes, in the order that is wanted. The data set may have any of them, in any order.

    Raises:
        DataError: if the data set is missing or damaged, or has other classes.
    """
    if is_segmentation(name, data_dir):
        raise DataError(f"{printable(name)}: is a data set for segmentation, wanted are images in classes")
    loaded = _load(name, data_dir, options.layout, options.class_order, labels if _is_folder(name) else None)
    where = str(data_dir or name)
    if loaded.train is None:
        raise DataError(f"{where}: has held-out images only; for training, expected train/CLASS/... as well")
    return _in_order_of(loaded.train, tuple(labels), where)[0]


@dataclass(frozen=True)
class EvaluationData:
    """Images to evaluate a network on.

    Attributes:
        name: of the data set.
        images: with the classes of the network, in its order.
        part: which images of the data set they are.
        notes: what the user should know, one line each.
    """

    name: str
    images: ImageSet
    part: Part
    notes: tuple[str, ...] = ()


def build_evaluation(
    name: str,
    data_dir: str | Path | None = None,
    options: DataOptions = _DEFAULT,
    *,
    labels: Sequence[str],
    part: Part | None = None,
    was_trained_on: bool = False,
) -> EvaluationData:
    """Return images of the data set called `name` to evaluate a network on.

    Args:
        name: as in `build_data`.
        data_dir: as in `build_data`.
        options: how it is read, what the network is for (by default classification), and how the images were divided
            in training. What changes training images, and the order of classes, does not count here.
        labels: the network's classes. The data set may have any of them, in any order.
        part: which images; by default the held-out ones of a data set that has some, else all, but if the network
            was trained on this very data set those that were held out then.
        was_trained_on: whether it was.

    Raises:
        DataError: if the data set is missing or damaged, has classes that the network does not know, or lacks the part.
    """
    if options.task == "segmentation":
        return _segmentation_evaluation(name, data_dir, options, tuple(labels), part, was_trained_on)
    loaded = _load(name, data_dir, options.layout, "natural", labels if _is_folder(name) else None)
    where = str(data_dir or name)
    has_split = loaded.val is not None or loaded.test is not None
    is_default = part is None
    if part is None:
        # Of a folder with nothing but `test/` there is no part to hold out, whatever it was in training.
        held_out = loaded.val is not None or (was_trained_on and (loaded.train is not None or loaded.test is None))
        part = "val" if held_out else "test" if loaded.test is not None else "all"
    if part == "all":
        images = join([found for found in (loaded.train, loaded.val, loaded.test) if found is not None])
    elif part == "test":
        images = _demand(loaded.test if loaded.test is not None else loaded.val, where, "test", has_split)
    elif options.folds is not None and options.fold is not None:
        whole, _ = loaded.split(where, options.val_fraction, options.split_seed)
        images = fold_split(whole, options.folds, options.fold, options.split_seed)[part == "val"]
    elif part == "val" and loaded.val is not None:
        images = loaded.val
    else:
        images = loaded.split(where, options.val_fraction, options.split_seed)[part == "val"]
    notes = list(loaded.notes)
    if not len(images):
        raise DataError(f"{where}: there are no images to evaluate")
    images, absent = _in_order_of(images, tuple(labels), where)
    if absent:
        shown = ", ".join(f"'{printable(label, 60)}'" for label in absent[:8]) + (", ..." if len(absent) > 8 else "")
        notes.append(f"{where}: {len(absent)} of the network's {len(labels)} classes have no images here: {shown}")
    if is_default and part == "val" and loaded.val is None and loaded.train is not None and _is_folder(name):
        notes.append(
            f"{where}: evaluated on the {len(images)} of its {len(loaded.train)} images that training did not see; "
            "--split all takes all"
        )
    if options.decoding is not None:
        images = images.decoded(options.decoding)
    return EvaluationData(name, images, part, tuple(dict.fromkeys(notes)))


def _is_folder(name: str) -> bool:
    return name == "folder" or name not in DATA_NAMES


def _demand(images: ImageSet | None, where: str, part: str, has_split: bool) -> ImageSet:
    if images is None:
        reason = "has no test images" if has_split else "is not split into train, val and test"
        raise DataError(f"{where}: {reason}; choose another part with --split (all, val, train)")
    return images


def _in_order_of(images: ImageSet, labels: tuple[str, ...], where: str) -> tuple[ImageSet, list[str]]:
    """Return the images with their classes numbered as in `labels`, and the labels without images."""
    used = np.unique(images.targets)
    strange = [images.labels[index] for index in used if images.labels[index] not in labels]
    if strange:
        raise DataError(
            f"{where}: has classes that the network does not have (such as '{printable(strange[0], 60)}'; it knows "
            f"{', '.join(printable(label, 40) for label in labels[:5])}{', ...' if len(labels) > 5 else ''}): choose "
            "other images with --data"
        )
    numbers = np.full(len(images.labels), -1, dtype=np.int64)
    for index in used:
        numbers[index] = labels.index(images.labels[index])
    relabelled = ImageSet(images.source, images.indices, numbers[images.targets], labels, images.decoding)
    present = {images.labels[index] for index in used}
    return relabelled, [label for label in labels if label not in present]


def _segmentation_evaluation(
    name: str,
    data_dir: str | Path | None,
    options: DataOptions,
    labels: tuple[str, ...],
    part: Part | None,
    was_trained_on: bool,
) -> EvaluationData:
    train, val, has_split = load_segmentation(name, data_dir, options.val_fraction, options.split_seed)
    if part is None:
        part = "val" if was_trained_on or has_split else "all"
    parts = {"train": [train], "val": [val], "test": [val], "all": [train, val]}
    pairs: Any = join_pairs(parts[part]).in_order_of(labels, str(data_dir or name))  # has the methods of `TargetSet`
    return EvaluationData(name, pairs, part)
