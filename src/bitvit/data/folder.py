"""A user's own images: one folder for each class, with or without folders for training and validation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bitvit.data.class_order import ClassOrder, natural_key, ordered_classes
from bitvit.data.errors import DataError
from bitvit.data.folder_layout import (
    Layout,
    class_folders,
    class_name,
    lying_beside,
    note_files_of_splits,
    note_folders_of_every_class,
    quoted,
    refuse_single_folder,
    refuse_splits_below_classes,
    refuse_splits_in_class_names,
    refuse_splits_of_other_names,
    search,
    split_folders,
)
from bitvit.data.image_set import FileSource, ImageSet
from bitvit.image_files import FoundImages, LeftOut
from bitvit.text import printable

__all__ = ["FolderImages", "load_image_folder"]


@dataclass
class FolderImages:
    """What a folder holds.

    Attributes:
        train: training images; None if there is only something to judge by (`test/`).
        val: held-out images; None if training images are still to be split.
        test: images of `test/` beside `val/`, for a last look.
        is_split: whether the folder itself says what is for training and what is held out.
        notes: what the user should know, one line each.
    """

    train: ImageSet | None
    val: ImageSet | None
    test: ImageSet | None = None
    is_split: bool = False
    notes: list[str] = field(default_factory=list)


class _Loader:
    """Reads folders of classes, and collects notes about them."""

    def __init__(self, folder: Path, layout: Layout, order: ClassOrder) -> None:
        self._folder = folder
        self._layout = layout
        self._order = order
        self._left_out = LeftOut()
        self.notes: list[str] = []

    def load(self, folder: Path, known: Sequence[str] | None, what: str) -> ImageSet:
        """Return the images of `folder`, whose subfolders are classes (of `known`, if given).

        Raises:
            DataError: the folder has no class folders, or a class is unknown or has no images.
        """
        entries = class_folders(folder)
        if not entries:
            lying = search(folder)
            if lying.paths:
                raise DataError(
                    f"{folder}: {len(lying.paths)} images, but no class folders: expected one subfolder of images for "
                    f"each class{_told_elsewhere(folder)}"
                )
            raise DataError(f"{folder}: is empty; expected one subfolder of images for each class")
        if self._layout != "classes":
            refuse_splits_below_classes(entries)
        by_name: dict[str, Path] = {}
        for entry in entries:
            name = class_name(entry)
            if name in by_name:
                raise DataError(f"{entry}: there are two folders of this name in different Unicode forms: merge them")
            by_name[name] = entry
        if known is None:
            labels = ordered_classes(list(by_name), self._order, folder)
            self._note_alike(labels, folder)
        else:
            labels = tuple(known)
            strange = sorted((name for name in by_name if name not in labels), key=natural_key)
            if strange:
                verb, them = ("is", "it") if len(strange) == 1 else ("are", "them")
                raise DataError(
                    f"{folder}: {quoted(strange)} {verb} not among the classes that are trained "
                    f"({quoted(labels)}): rename or remove {them}"
                )
        paths: list[Path] = []
        targets: list[int] = []
        for index, name in enumerate(labels):
            found = search(by_name[name]) if name in by_name else FoundImages((), LeftOut())
            self._left_out.add(found.left_out)
            if name in by_name and not found.paths and known is None:
                reason = f" ({found.left_out})" if found.left_out.reasons() else ""
                raise DataError(f"{by_name[name]}: class '{name}' has no images{reason}; add some or remove the folder")
            paths.extend(found.paths)
            targets.extend([index] * len(found.paths))
        if known is not None:
            self._note_missing(labels, targets, folder, what)
        self.note_lying_beside(folder, "class folders")
        return ImageSet.whole(FileSource(tuple(paths)), targets, labels)

    def note_lying_beside(self, folder: Path, what: str) -> None:
        """Count the images that lie beside folders in which they should be."""
        outside = lying_beside(folder)
        if outside:
            self.notes.append(
                f"{folder}: {outside} image{'s lie' if outside > 1 else ' lies'} beside the {what} and "
                f"belong{'' if outside > 1 else 's'} to no class: left out"
            )

    def _note_alike(self, labels: Sequence[str], folder: Path) -> None:
        """Name two classes whose names differ in case, spaces and underscores only: `big cat`, `Big_Cat`."""
        first: dict[str, str] = {}
        for name in labels:
            plain = re.sub(r"[\s_]+", "", name.casefold())
            if plain in first:
                self.notes.append(
                    f"{folder}: {quoted([first[plain], name])} count as two classes: merge them if they are one"
                )
                return
            first[plain] = name

    def _note_missing(self, labels: Sequence[str], targets: Sequence[int], folder: Path, what: str) -> None:
        present = set(targets)
        absent = [name for index, name in enumerate(labels) if index not in present]
        if absent and present and what:
            count = "classes has" if len(absent) == 1 else "classes have"
            self.notes.append(f"{folder}: {len(absent)} of {len(labels)} {count} no {what} images: {quoted(absent)}")

    def finish(self) -> list[str]:
        if self._left_out.reasons():
            self.notes.append(f"{self._folder}: left out {self._left_out}")
        return self.notes


def _told_elsewhere(folder: Path) -> str:
    """Return what to do where a table tells the classes of images."""
    tables = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in (".csv", ".tsv", ".json"))
    return f" ({printable(tables[0], 60)} is not read: move each image into the folder of its class)" if tables else ""


def load_image_folder(
    folder: Path,
    *,
    layout: Layout = "auto",
    class_order: ClassOrder = "natural",
    labels: Sequence[str] | None = None,
) -> FolderImages:
    """Return the images of a folder, with their classes.

    Either `train/CLASS/...` with `val/CLASS/...` and `test/CLASS/...`, or `CLASS/...`. A split is recognized by its
    name in any case (train, training; val, valid, validation, dev, eval; test, testing, holdout), also with a word such
    as `set` or `images` and with numbers. Images may lie in deeper folders of their class. Where `test/` is the only
    one beside `train/`, it validates, and a note says so.

    Args:
        folder: the folder.
        layout: "split" or "classes" where the names of the subfolders do not tell.
        class_order: "natural" (timm's order: numbers by value), "alphabetical" (by code points, torchvision's order),
            or all names in the order wanted.
        labels: the classes of a network that is judged: the folder may hold any of them.

    Raises:
        DataError: if a folder is missing or empty, a class has no images, or it is unclear what is a class.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    loader = _Loader(folder, layout, class_order)
    splits = split_folders(folder, layout, loader.notes)
    if not splits:
        entries = class_folders(folder)
        if layout == "auto" and labels is None:
            refuse_single_folder(folder, entries)
        if layout == "auto":
            refuse_splits_of_other_names(folder, entries)
            refuse_splits_in_class_names(folder, entries)
            loader.notes += note_folders_of_every_class(entries)
        whole = loader.load(folder, labels, "")
        if labels is None:
            loader.notes += note_files_of_splits([Path(whole.describe(position)) for position in range(len(whole))])
        return FolderImages(whole, None, notes=loader.finish())
    loader.note_lying_beside(folder, "folders of the splits")
    train = loader.load(splits["train"], labels, "training") if "train" in splits else None
    known = labels if labels is not None else train.labels if train is not None else None
    val = loader.load(splits["val"], known, "validation") if "val" in splits else None
    if known is None and val is not None:
        known = val.labels
    test = loader.load(splits["test"], known, "test") if "test" in splits else None
    if train is not None and val is None and test is not None:
        loader.notes.append(
            f"{splits['test']}: the only held-out images are called test: they choose between epochs here, so their "
            "accuracy is no test result; add val/ for one"
        )
        val, test = test, None
    return FolderImages(train, val, test, is_split=True, notes=loader.finish())
