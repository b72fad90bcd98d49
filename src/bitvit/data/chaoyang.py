"""Chaoyang, colon slides with noisy training labels: image files listed by `train.json` and `test.json`."""

from __future__ import annotations

import json
from pathlib import Path

from bitvit.data.errors import DataError
from bitvit.data.image_set import FileSource, ImageSet
from bitvit.data.locations import find_folder
from bitvit.files import read_regular_file

__all__ = ["CHAOYANG_LABELS", "load_chaoyang"]

CHAOYANG_LABELS = ("normal", "serrated", "adenocarcinoma", "adenoma")


def _load_list(path: Path) -> ImageSet:
    try:
        entries = json.loads(read_regular_file(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: not a list of images")
    paths, targets = [], []
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(label, int) or isinstance(label, bool):
            raise DataError(f'{path}: entry {number} is not {{"name": file, "label": class number}}')
        image = path.parent / name
        if not image.is_file():
            raise DataError(f"{image}: no such image, though {path.name} lists it")
        paths.append(image)
        targets.append(label)
    return ImageSet.whole(FileSource(tuple(paths)), targets, CHAOYANG_LABELS)


def load_chaoyang(data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return Chaoyang's 4,021 training and 2,139 test images (512 x 512, RGB) of 4 classes.

    Raises:
        DataError: if it is not found, or a list or an image is missing or damaged.
    """
    folder = find_folder("chaoyang", data_dir, ("chaoyang", "chaoyang-data"), (("train.json", "test.json"),))
    return _load_list(folder / "train.json"), _load_list(folder / "test.json")
