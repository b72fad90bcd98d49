"""A user's own images: one folder for each class, with or without folders for training and validation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from bitvit.data.errors import DataError
from bitvit.data.image_set import FileSource, ImageSet
from bitvit.errors import BitvitError
from bitvit.image_files import FoundImages, LeftOut, find_images, is_hidden, readable_suffixes, subfolders
from bitvit.text import printable

__all__ = [
    "ClassOrder",
    "FolderImages",
    "Layout",
    "Role",
    "load_image_folder",
    "natural_key",
    "ordered_classes",
    "split_role",
]

Layout: TypeAlias = Literal["auto", "split", "classes"]
ClassOrder: TypeAlias = "Literal['natural', 'alphabetical'] | Sequence[str]"
Role: TypeAlias = Literal["train", "val", "test"]

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}  # fmt: skip
_NUMBERED_PART = re.compile(r"(fold|split|part|partition|batch|shard|chunk|session)s?[\W_]*\d+$", re.IGNORECASE)
_CAMEL = re.compile(r"([a-z])([A-Z])")
_PURPOSES: dict[Role, str] = {"train": "training", "val": "validation", "test": "testing"}
# Words that may stand beside the name of a split: `train_images`, `Test Set`, `val2017`.
_FILLERS = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "datasets",
        "image",
        "images",
        "img",
        "imgs",
        "photo",
        "photos",
        "picture",
        "pictures",
        "split",
        "folder",
        "folders",
    ]
)


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


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key of natural order: numbers by value, letters whatever their case; `class 9` before `class 10`."""
    parts = re.split(r"(\d+)", name.casefold())
    key = tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)
    return key, name


def split_role(name: str) -> Role | None:
    """Return the purpose that a folder's name suggests: training, validation, testing, or none.

    `Train`, `training_set`, `VAL2017`, `Test images`, `trainData` are names of splits; `train station` is not.
    """
    whole = re.sub(r"[\W_\d]+", "", name).casefold()
    if whole in _ROLES:  # `hold-out`
        return _ROLES[whole]
    words = [
        part for word in re.split(r"[\W_\d]+", _CAMEL.sub(r"\1 \2", name).casefold()) if word for part in _parted(word)
    ]
    roles = [_ROLES[word] for word in words if word in _ROLES]
    rest = [word for word in words if word not in _ROLES and word not in _FILLERS]
    return roles[0] if len(roles) == 1 and not rest else None


def _parted(word: str) -> tuple[str, ...]:
    """Return the parts of `trainset` or `valimages`: the name of a split and such a word; else the word itself."""
    for known in _ROLES:
        if word.startswith(known) and word[len(known) :] in _FILLERS:
            return known, word[len(known) :]
        if word.endswith(known) and word[: -len(known)] in _FILLERS:
            return word[: -len(known)], known
    return (word,)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{printable(name, 60)}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _named(folders: Sequence[Path]) -> str:
    return _listed([folder.name for folder in folders])


def _split_folders(folder: Path, layout: Layout) -> dict[Role, Path]:
    """Return the folders of the splits, none if the subfolders of `folder` are classes.

    Raises:
        DataError: if it is one or the other, and a person has to say which.
    """
    inside = _subfolders(folder)
    roles = {entry: role for entry in inside if (role := split_role(entry.name)) is not None}
    if layout == "classes" or not (roles or layout == "split"):
        return {}
    others = [entry for entry in inside if entry not in roles]
    if others and layout == "auto":
        raise DataError(
            f"{folder}: {_named(list(roles))} {'looks like a split' if len(roles) == 1 else 'look like splits'} and "
            f"{_named(others)} like {'a class' if len(others) == 1 else 'classes'}: move one or the other away, or "
            "set data.layout=classes (all are classes) or data.layout=split (use only the splits)"
        )
    found: dict[Role, Path] = {}
    for entry, role in roles.items():
        if role in found:
            raise DataError(
                f"{folder}: both {_named([found[role], entry])} look like images for "
                f"{_PURPOSES[role]}: merge or move one of them, or "
                "set data.layout=classes if they are classes"
            )
        found[role] = entry
    if not found:
        raise DataError(f"{folder}: data.layout=split, but no folder is called train, val or test")
    for role, entry in found.items():
        if not _subfolders(entry):
            what = "holds images, but has no class folders" if _search(entry).paths else "is empty"
            raise DataError(
                f"{entry}: looks like the images for {role} and {what}: expected "
                f"{entry.name}/CLASS/image.jpg (or set data.layout=classes if it is a class)"
            )
    return found


def _refuse_splits_below_classes(classes: Sequence[Path]) -> None:
    split: list[tuple[Path, list[Path]]] = []
    for entry in classes:
        below = _subfolders(entry)
        roles = [inner for inner in below if split_role(inner.name) is not None]
        if len({split_role(inner.name) for inner in roles}) > 1:
            raise _splits_below(entry, roles)
        if roles and len(below) > 1:  # `Fit` beside `Eval`, in every class
            split.append((entry, below))
    if len(split) > 1:
        raise _splits_below(*split[0])


def _splits_below(entry: Path, splits: Sequence[Path]) -> DataError:
    return DataError(
        f"{entry}: has {_named(splits)} below a class, so held-out images would be trained on: move the splits "
        f"up ({splits[0].name}/{entry.name}/...), or set data.layout=classes if that is what you want"
    )


def _refuse_single_folder(folder: Path, entries: Sequence[Path]) -> None:
    """Refuse a folder that holds nothing but the one that is meant, as unpacked archives often do."""
    inner, below = folder, list(entries)
    while len(below) == 1:
        inner, below = below[0], _subfolders(below[0])
    if inner != folder and len(below) > 1:
        raise DataError(
            f"{folder}: has the single folder '{printable(inner.relative_to(folder), 60)}', which holds "
            f"{_named(below)}: give {inner} if these are the classes or splits"
        )


def _refuse_splits_of_other_names(folder: Path, entries: Sequence[Path]) -> None:
    """Refuse folders that hold no images, only the same classes each: splits in words unknown here.

    Two or three are, whatever they are called; more where they are called `fold 1`, `fold 2` and so on.
    """
    if len(entries) < 2 or (len(entries) > 3 and not all(_NUMBERED_PART.match(entry.name) for entry in entries)):
        return
    below = [{_class_name(inner) for inner in _subfolders(entry)} for entry in entries]
    if any(split_role(name) is not None for name in below[0]):
        return  # which is refused with another reason
    if len(below[0]) < 2 or any(names != below[0] for names in below) or any(_lying_beside(entry) for entry in entries):
        return
    raise DataError(
        f"{folder}: {_named(entries)} all have the same folders ({_listed(sorted(below[0], key=natural_key))}), like "
        "splits with these classes: if they are, rename them to train, val and test; if not, set data.layout=classes"
    )


def _subfolders(folder: Path) -> list[Path]:
    try:
        return subfolders(folder)
    except BitvitError as error:
        raise DataError(str(error)) from None


def _search(folder: Path) -> FoundImages:
    try:
        return find_images(folder)
    except BitvitError as error:
        raise DataError(str(error)) from None


def ordered_classes(names: Sequence[str], order: ClassOrder, folder: Path) -> tuple[str, ...]:
    """Return the names of classes in the order that is asked for.

    Raises:
        DataError: an order of one's own names other classes.
    """
    if order == "natural":
        return tuple(sorted(names, key=natural_key))
    if order == "alphabetical":
        return tuple(sorted(names))
    missing = [name for name in order if name not in names]
    unnamed = [name for name in names if name not in order]
    if missing or unnamed or len(set(order)) != len(order):
        reason = (
            f"names '{missing[0]}', which is no class of {folder}" if missing
            else f"leaves out '{unnamed[0]}' of {folder}" if unnamed
            else "names a class twice"
        )  # fmt: skip
        raise DataError(f"data.class_order {reason}")
    return tuple(order)


def _class_name(folder: Path) -> str:
    """A folder's name as text: composed, because a Mac's archive writes é in two characters and others in one."""
    name = unicodedata.normalize("NFC", folder.name)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{printable(folder, None)}: the name of this class is not UTF-8: rename the folder") from None
    return name


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
        entries = _subfolders(folder)
        if not entries:
            lying = _search(folder)
            if lying.paths:
                raise DataError(
                    f"{folder}: {len(lying.paths)} images, but no class folders: expected one subfolder of images for "
                    "each class"
                )
            raise DataError(f"{folder}: is empty; expected one subfolder of images for each class")
        if self._layout != "classes":
            _refuse_splits_below_classes(entries)
        by_name: dict[str, Path] = {}
        for entry in entries:
            name = _class_name(entry)
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
                    f"{folder}: {_listed(strange)} {verb} not among the classes that are trained "
                    f"({_listed(labels)}): rename or remove {them}"
                )
        paths: list[Path] = []
        targets: list[int] = []
        for index, name in enumerate(labels):
            found = _search(by_name[name]) if name in by_name else FoundImages((), LeftOut())
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
        outside = _lying_beside(folder)
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
                    f"{folder}: {_listed([first[plain], name])} count as two classes: merge them if they are one"
                )
                return
            first[plain] = name

    def _note_missing(self, labels: Sequence[str], targets: Sequence[int], folder: Path, what: str) -> None:
        present = set(targets)
        absent = [name for index, name in enumerate(labels) if index not in present]
        if absent and present and what:
            count = "classes has" if len(absent) == 1 else "classes have"
            self.notes.append(f"{folder}: {len(absent)} of {len(labels)} {count} no {what} images: {_listed(absent)}")

    def finish(self) -> list[str]:
        if self._left_out.reasons():
            self.notes.append(f"{self._folder}: left out {self._left_out}")
        return self.notes


def _note_folders_of_every_class(loader: _Loader, classes: Sequence[Path]) -> None:
    """Name two or three folders that every class has: they may be splits in words unknown here."""
    below = [[inner.name for inner in _subfolders(entry)] for entry in classes]
    if len(below) > 1 and 2 <= len(below[0]) <= 3 and all(names == below[0] for names in below):
        loader.notes.append(
            f"every class has the folders {_listed(below[0])}: all their images are used alike; if one is held out, "
            f"move it up ({below[0][0]}/{classes[0].name}/...) and call it val or test"
        )


def _lying_beside(folder: Path) -> int:
    return sum(
        1
        for entry in folder.iterdir()
        if entry.suffix.lower() in readable_suffixes() and not is_hidden(entry.name) and entry.is_file()
    )


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
    splits = _split_folders(folder, layout)
    if not splits:
        entries = _subfolders(folder)
        if layout == "auto" and labels is None:
            _refuse_single_folder(folder, entries)
        if layout == "auto":
            _refuse_splits_of_other_names(folder, entries)
            _note_folders_of_every_class(loader, entries)
        whole = loader.load(folder, labels, "")
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
