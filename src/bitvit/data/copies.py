"""The same file twice: in training and validation, or in two classes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from bitvit.data.image_set import Data
from bitvit.data.target_set import TargetSet
from bitvit.text import printable

__all__ = ["notes_on_copies"]


def notes_on_copies(data: Data) -> list[str]:
    """Return what the user should know of files with the same content, one line for each kind.

    A copy of a training image among the validation images makes accuracy look better than it is; a copy in another
    class teaches two answers to one image. Files of unlike size are not read.
    """
    copies: dict[bytes, list[tuple[str, int, str]]] = defaultdict(list)  # by content: part, position, file
    parts = {"train": data.train, "val": data.val}
    for entry in _files_of_equal_size(parts):
        try:
            copies[hashlib.blake2b(Path(entry[2]).read_bytes(), digest_size=16).digest()].append(entry)
        except OSError:
            continue  # which reading the images has named, or will
    leaked: list[tuple[str, str]] = []
    labelled_twice: list[tuple[str, str]] = []
    for entries in copies.values():
        trained = [file for part, _, file in entries if part == "train"]
        held_out = [file for part, _, file in entries if part == "val"]
        if trained:
            leaked += [(file, trained[0]) for file in held_out]
        if data.train.counted == "images":  # of masks there may be two
            first = entries[0]
            classes = [int(parts[part].target(position)) for part, position, _ in entries]
            other = next((entry for entry, index in zip(entries, classes, strict=True) if index != classes[0]), None)
            if other is not None:
                labelled_twice.append((first[2], other[2]))
    notes = []
    if leaked:
        notes.append(
            f"{len(leaked)} of the {len(data.val)} validation images {_are(leaked)} of training images "
            f"({_pair(leaked[0])}): accuracy will look better than it is; remove the copies"
        )
    if labelled_twice:
        files = "file lies" if len(labelled_twice) == 1 else "files lie"
        notes.append(
            f"{len(labelled_twice)} {files} in more than one class ({_pair(labelled_twice[0])}): leave each in one"
        )
    return notes


def _files_of_equal_size(parts: Mapping[str, TargetSet]) -> list[tuple[str, int, str]]:
    sized: list[tuple[int, tuple[str, int, str]]] = []
    for part, images in parts.items():
        for position in range(len(images)):
            file = images.describe(position)
            try:
                size = os.stat(file).st_size if os.path.isfile(file) else 0
            except (OSError, ValueError):
                continue
            if size:
                sized.append((size, (part, position, file)))
    counts = Counter(size for size, _ in sized)
    return [entry for size, entry in sized if counts[size] > 1]


def _are(entries: list[tuple[str, str]]) -> str:
    return "is a copy" if len(entries) == 1 else "are copies"


def _pair(entry: tuple[str, str]) -> str:
    return f"{printable(entry[0], 200)} is {printable(entry[1], 200)}"
