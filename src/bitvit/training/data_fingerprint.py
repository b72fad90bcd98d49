"""What a run's images and labels are, so that a resumption can tell what has changed since."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bitvit.data import Data
from bitvit.data.target_set import TargetSet

__all__ = ["data_fingerprint", "describe_changes"]

_EDGE_BYTES = 4096


def data_fingerprint(data: Data, taught: Data | None = None) -> dict[str, Any]:
    """Return numbers and digests of a data set's class names, files and targets, as plain values.

    Of a file its name below the common folder, its size, and its first and last bytes count; neither its time nor where
    the folder lies, so that a copy of a data set is the same data set.

    Args:
        data: of the student.
        taught: of a teacher with training images of its own.
    """
    content = {
        "classes": list(data.labels),
        "training": _of(data.train),
        "validation": _of(data.val),
    }
    return content if taught is None else {**content, "the teacher's training": _of(taught.train)}


def _of(images: TargetSet) -> dict[str, Any]:
    targets, names, contents = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    pictures: list[bytes] = []
    labelled: list[bytes] = []
    descriptions = [images.describe(position) for position in range(len(images))]
    files = [Path(description) if os.path.isfile(description) else None for description in descriptions]
    paths = [str(file) for file in files if file is not None]
    root = os.path.commonpath(paths) if paths else ""
    for position, file in enumerate(files):
        target = np.asarray(images.target(position)).tobytes()
        targets.update(target)
        name = descriptions[position] if file is None else os.path.relpath(file, root)
        names.update(name.encode(errors="surrogateescape") + b"\0")
        if file is not None:
            pictures.append(_edges(file))
            contents.update(pictures[-1])
            labelled.append(pictures[-1] + target)
    return {
        "images": len(images),
        "targets": targets.hexdigest()[:16],
        "names": names.hexdigest()[:16],
        "contents": contents.hexdigest()[:16],
        # Without their names and order: what tells other labels of the same pictures from other pictures.
        "pictures": hashlib.sha256(b"".join(sorted(pictures))).hexdigest()[:16],
        "labelled": hashlib.sha256(b"".join(sorted(labelled))).hexdigest()[:16],
    }


def _edges(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_EDGE_BYTES)
        file.seek(max(size - _EDGE_BYTES, 0))
        return hashlib.blake2b(f"{size}".encode() + head + file.read(_EDGE_BYTES), digest_size=8).digest()


def describe_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two fingerprints, in words."""
    changes = []
    if before["classes"] != now["classes"]:
        gone = [name for name in before["classes"] if name not in now["classes"]]
        new = [name for name in now["classes"] if name not in before["classes"]]
        words = [*(f"'{name}' is gone" for name in gone[:3]), *(f"'{name}' is new" for name in new[:3])]
        changes.append(f"classes ({', '.join(words) or 'their order'})")
    for part in ("training", "validation", "the teacher's training"):
        if part not in before or part not in now:
            continue
        old, new_part = before[part], now[part]
        if old["images"] != new_part["images"]:
            changes.append(f"number of {part} images ({old['images']} then, {new_part['images']} now)")
        elif old["names"] != new_part["names"]:
            changes.append(f"names of {part} images")
        elif old["contents"] != new_part["contents"]:
            if old["pictures"] != new_part["pictures"]:
                changes.append(f"content of {part} images")
            else:
                changes.append(f"{'names' if old['labelled'] == new_part['labelled'] else 'labels'} of {part} images")
        elif old["targets"] != new_part["targets"]:
            changes.append(f"labels of {part} images")
    return changes
