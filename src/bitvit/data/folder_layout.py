"""What the folders of a user's own images are: splits or classes. Where only a person can tell, it is refused."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from bitvit.data.class_order import natural_key
from bitvit.data.errors import DataError
from bitvit.data.split_names import Role, role_in_name, split_role
from bitvit.errors import BitvitError
from bitvit.image_files import FoundImages, find_images, is_hidden, readable_suffixes, subfolders
from bitvit.text import printable

__all__ = [
    "Layout",
    "class_folders",
    "class_name",
    "lying_beside",
    "note_files_of_splits",
    "note_folders_of_every_class",
    "quoted",
    "refuse_single_folder",
    "refuse_splits_below_classes",
    "refuse_splits_in_class_names",
    "refuse_splits_of_other_names",
    "search",
    "split_folders",
]

Layout: TypeAlias = Literal["auto", "split", "classes"]

_NUMBERED_PART = re.compile(r"(fold|split|part|partition|batch|shard|chunk|session)s?[\W_]*\d+$", re.IGNORECASE)
_PURPOSES: dict[Role, str] = {"train": "training", "val": "validation", "test": "testing"}


def quoted(names: Sequence[str]) -> str:
    """Return names in quotes, the first eight of them."""
    return ", ".join(f"'{printable(name, 60)}'" for name in names[:8]) + (", ..." if len(names) > 8 else "")


def _named(folders: Sequence[Path]) -> str:
    return quoted([folder.name for folder in folders])


def split_folders(folder: Path, layout: Layout, notes: list[str]) -> dict[Role, Path]:
    """Return the folders of the splits, none if the subfolders of `folder` are classes.

    Test images without classes, as competitions have them, are left out with a note where there are others to train on.

    Args:
        folder: the user's folder.
        layout: what its subfolders are, if that is known.
        notes: where notes are added.

    Raises:
        DataError: if it is one or the other, and a person has to say which.
    """
    inside = class_folders(folder)
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
    for role, entry in list(found.items()):
        if not class_folders(entry):
            images = len(search(entry).paths)
            if images and role == "test" and "train" in found:
                notes.append(
                    f"{entry}: its {images} images have no class folders, so they judge nothing: left out (bitvit "
                    "predict names their classes)"
                )
                del found[role]
                continue
            what = "holds images, but has no class folders" if images else "is empty"
            raise DataError(
                f"{entry}: looks like the images for {role} and {what}: expected "
                f"{entry.name}/CLASS/image.jpg (or set data.layout=classes if it is a class)"
            )
    return found


def refuse_splits_below_classes(classes: Sequence[Path]) -> None:
    """Refuse classes that have splits in them: `cat/train`, `cat/test`.

    Raises:
        DataError: there are some.
    """
    split: list[tuple[Path, list[Path]]] = []
    for entry in classes:
        below = class_folders(entry)
        roles = [inner for inner in below if split_role(inner.name) is not None]
        if len({split_role(inner.name) for inner in roles}) > 1:
            raise _splits_below(entry, roles)
        # `Fit` beside `Eval` in every class, or `train` with folders of its own: `photos/train/cat`.
        if roles and (len(below) > 1 or class_folders(roles[0])):
            split.append((entry, below))
    if len(split) > 1:
        raise _splits_below(*split[0])


def _splits_below(entry: Path, splits: Sequence[Path]) -> DataError:
    return DataError(
        f"{entry}: has {_named(splits)} below a class, so held-out images would be trained on: move the splits "
        f"up ({splits[0].name}/{entry.name}/...), or set data.layout=classes if that is what you want"
    )


def refuse_splits_in_class_names(folder: Path, classes: Sequence[Path]) -> None:
    """Refuse splits that are words of the classes' names: `cat_train`, `cat_test`.

    Raises:
        DataError: a class occurs with two of them.
    """
    found: dict[str, dict[Role, Path]] = defaultdict(dict)
    for entry in classes:
        named = role_in_name(entry.name)
        if named is not None:
            found[named[0]][named[1]] = entry
    for rest, roles in found.items():
        if len(roles) > 1:
            wanted = " and ".join(f"{role}/{printable(rest, 60)}" for role in _PURPOSES if role in roles)
            raise DataError(
                f"{folder}: {_named(list(roles.values()))} look like splits of one class, so held-out images would be "
                f"trained on: make folders {wanted}, or set data.layout=classes if all are classes"
            )


def refuse_single_folder(folder: Path, entries: Sequence[Path]) -> None:
    """Refuse a folder that holds nothing but the one that is meant, as unpacked archives often do."""
    inner, below = folder, list(entries)
    while len(below) == 1:
        inner, below = below[0], class_folders(below[0])
    if inner != folder and len(below) > 1:
        raise DataError(
            f"{folder}: has the single folder '{printable(inner.relative_to(folder), 60)}', which holds "
            f"{_named(below)}: give {inner} if these are the classes or splits"
        )


def refuse_splits_of_other_names(folder: Path, entries: Sequence[Path]) -> None:
    """Refuse folders that hold no images, only the same classes each: splits in words unknown here.

    Two or three are, whatever they are called; more where they are called `fold 1`, `fold 2` and so on.
    """
    if len(entries) < 2 or (len(entries) > 3 and not all(_NUMBERED_PART.match(entry.name) for entry in entries)):
        return
    below = [{class_name(inner) for inner in class_folders(entry)} for entry in entries]
    if any(split_role(name) is not None for name in below[0]):
        return  # which is refused with another reason
    if len(below[0]) < 2 or any(names != below[0] for names in below) or any(lying_beside(entry) for entry in entries):
        return
    holding = [entry for entry in entries if search(entry).paths]
    if len(holding) == 1:
        raise DataError(f"{folder}: of {_named(entries)} only {_named(holding)} holds images: give {holding[0]}")
    raise DataError(
        f"{folder}: {_named(entries)} all have the same folders ({quoted(sorted(below[0], key=natural_key))}), like "
        "splits with these classes: if they are, rename them to train, val and test; if not, set data.layout=classes"
    )


def class_folders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return subfolders(folder)
    except BitvitError as error:
        raise DataError(str(error)) from None


def search(folder: Path) -> FoundImages:
    """Return the images in a folder and below.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return find_images(folder)
    except BitvitError as error:
        raise DataError(str(error)) from None


def class_name(folder: Path) -> str:
    """A folder's name as text: composed, because a Mac's archive writes é in two characters and others in one."""
    name = unicodedata.normalize("NFC", folder.name)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{printable(folder, None)}: the name of this class is not UTF-8: rename the folder") from None
    return name


def note_folders_of_every_class(classes: Sequence[Path]) -> list[str]:
    """Return a note on two or three folders that every class has: they may be splits in words unknown here."""
    below = [[inner.name for inner in class_folders(entry)] for entry in classes]
    if len(below) > 1 and 2 <= len(below[0]) <= 3 and all(names == below[0] for names in below):
        return [
            f"every class has the folders {quoted(below[0])}: all their images are used alike; if one is held out, "
            f"move it up ({below[0][0]}/{classes[0].name}/...) and call it val or test"
        ]
    return []


def note_files_of_splits(images: Sequence[Path]) -> list[str]:
    """Return a note on files whose names say what they are for, `train_001.png` and `val_001.png` in one folder."""
    roles: set[Role] = set()
    for path in images:
        named = role_in_name(path.stem)
        if named is None:
            return []
        roles.add(named[1])
    if len(roles) < 2:
        return []
    return [
        "the names of all files say what they are for (such as "
        f"{quoted([images[0].name, images[-1].name])}), which is not looked at: to keep these splits, move the files "
        "to train/CLASS/ and val/CLASS/"
    ]


def lying_beside(folder: Path) -> int:
    """Return the number of images in a folder itself."""
    return sum(
        1
        for entry in folder.iterdir()
        if entry.suffix.lower() in readable_suffixes() and not is_hidden(entry.name) and entry.is_file()
    )
