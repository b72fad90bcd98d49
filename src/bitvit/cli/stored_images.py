"""Which images a network was trained on, as its file or checkpoint tells it. Somebody else may have written that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from bitvit.errors import UsageError
from bitvit.text import printable

__all__ = ["check_stored_images", "images_of_file", "is_plain_name"]

_LARGEST = 2**63


def _is_whole(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value < _LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_layout(value: Any) -> bool:
    from bitvit.data.folder_layout import Layout

    return value in get_args(Layout)


# What evaluation reads of it, and what each entry may be; any may be missing or null.
_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "folder": _is_text,
    "files_digest": _is_text,
    "val_fraction": lambda value: isinstance(value, int | float) and 0 < value < 1,
    "split_seed": _is_whole(0),
    "folds": _is_whole(2),
    "fold": _is_whole(0),
    "layout": _is_layout,
    "max_pixels": _is_whole(1),
    "on_error": lambda value: value in ("stop", "skip"),
}


def check_stored_images(stored: object) -> dict[str, Any]:
    """Return the entries that say which images, and how they were divided.

    Args:
        stored: the `data` section of a recipe, as a checkpoint or a file has it.

    Raises:
        UsageError: an entry is not what it should be.
    """
    if not isinstance(stored, Mapping):
        raise UsageError("what is stored of the training images is damaged: expected a mapping")
    found = {key: stored[key] for key in _ENTRIES if stored.get(key) is not None}
    for key, value in found.items():
        if not _ENTRIES[key](value):
            raise UsageError(f"what is stored of the training images is damaged: {key} is {printable(repr(value), 60)}")
    return found


def images_of_file(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `.bitvit` file says of its training images, without anything that would choose a place.

    Such a file may come from anywhere. It may say that it was trained on `digits` or on a folder called `photos`, but
    no path of it is looked at, and no address.
    """
    stored = provenance.get("data")
    return {key: value for key, value in stored.items() if key != "folder"} if isinstance(stored, Mapping) else {}


def is_plain_name(name: str) -> bool:
    """Whether a name is no path and no address, and so can be that of a data set or of a folder right here."""
    return re.fullmatch(r"[^/\\:~\0][^/\\:\0]*", name) is not None and name not in (".", "..")
