"""A user's own photos and masks: `images/` and `masks/`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bitvit.data.errors import DataError
from bitvit.data.segmentation.classes import IGNORED, Classes, numbered_classes, read_classes
from bitvit.data.segmentation.masks import mask_values, palette_of, read_mask
from bitvit.data.segmentation.segmentation_set import SegmentationSet
from bitvit.data.splits import random_stream
from bitvit.image_files import find_images

__all__ = ["CLASSES_FILE", "has_masks", "is_split", "load_segmentation_folder", "pair_files"]

CLASSES_FILE = "classes.csv"

_VAL_NAMES = ("val", "valid", "validation", "test")
_MIN_SHARE_OF_VALUES = 0.5


def has_masks(folder: Path) -> bool:
    """Return whether a folder has the form that `load_segmentation_folder` reads."""
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def is_split(folder: Path) -> bool:
    """Return whether a folder with masks has training and validation parts of its own."""
    return any((folder / "images" / name).is_dir() for name in _VAL_NAMES)


def _files(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder and its subfolders, by their relative path without suffix."""
    found: dict[str, Path] = {}
    for path in find_images(folder).paths:
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key in found:
            raise DataError(f"{path}: {found[key].name} has the same name; remove one of them")
        found[key] = path
    return found


def pair_files(
    images: dict[str, Path], masks: dict[str, Path], image_folder: Path, mask_folder: Path
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return photos and masks of the same name, in order.

    Raises:
        DataError: a photo has no mask or a mask no photo (the message names it), or there are none.
    """
    if not images:
        raise DataError(f"{image_folder}: has no images")
    for key, path in images.items():
        if key not in masks:
            raise DataError(f"{path}: has no mask; expected {mask_folder / key}.png")
    for key, path in masks.items():
        if key not in images:
            raise DataError(f"{path}: has no image; expected {image_folder / key} with an image's suffix")
    keys = sorted(images)
    return tuple(images[key] for key in keys), tuple(masks[key] for key in keys)


def _pairs(folder: Path, part: str | None) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    image_folder, mask_folder = folder / "images", folder / "masks"
    if part is not None:
        image_folder, mask_folder = image_folder / part, mask_folder / part
    if not mask_folder.is_dir():
        raise DataError(f"{mask_folder}: no such folder, but there is {image_folder}")
    return pair_files(_files(image_folder), _files(mask_folder), image_folder, mask_folder)


def load_segmentation_folder(folder: Path, val_fraction: float, seed: int) -> tuple[SegmentationSet, SegmentationSet]:
    """Return training and validation pairs of a folder.

    Either `images/train`, `masks/train`, `images/val` and `masks/val` (or valid, validation, test), or `images` and
    `masks`, which are split by the seed; so are `images/train` and `masks/train` if there is no other part. A mask has
    the name and the size of its photo: indexed PNG, grey values, or the colours of `classes.csv`. Every pair is looked
    at once.

    Raises:
        DataError: something is missing or does not fit; the message names the file.
        ImageError: a photo cannot be read.
    """
    if not has_masks(folder):
        raise DataError(f"{folder}: has no folders 'images' and 'masks'")
    if not (folder / "images" / "train").is_dir():
        parts = [_pairs(folder, None)]
    else:
        parts = [_pairs(folder, "train")]
        val = next((name for name in _VAL_NAMES if (folder / "images" / name).is_dir()), None)
        if val is not None:
            parts.append(_pairs(folder, val))
        elif any((folder / "masks" / name).is_dir() for name in _VAL_NAMES):
            raise DataError(f"{folder / 'images' / 'val'}: no such folder, but there are masks for it")
    classes_path = next((folder / name for name in (CLASSES_FILE, "Classes.csv") if (folder / name).is_file()), None)
    if classes_path is not None:
        classes = read_classes(classes_path)
    else:
        classes = _classes_of([path for _, masks in parts for path in masks])
    sets = [
        SegmentationSet(images, masks, classes.labels, classes.colors, partial(read_mask, classes=classes))
        for images, masks in parts
    ]
    for part in sets:
        part.check()
    if len(sets) == 1:
        return _split(sets[0], val_fraction, seed)
    return sets[0], sets[1]


def _split(pairs: SegmentationSet, val_fraction: float, seed: int) -> tuple[SegmentationSet, SegmentationSet]:
    if len(pairs) < 2:
        raise DataError(f"{pairs.images[0]}: is the only image; at least 2 are needed, one of them for validation")
    order = random_stream(seed, "split").permutation(len(pairs))
    count = min(max(round(len(pairs) * val_fraction), 1), len(pairs) - 1)
    return pairs.subset(np.sort(order[count:])), pairs.subset(np.sort(order[:count]))


def _classes_of(masks: list[Path]) -> Classes:
    """Return the classes that occur in masks without a list of classes: their values.

    Most of the values up to the largest must occur.
    """
    occurs = np.zeros(IGNORED, dtype=bool)
    largest, where = 0, masks[0]
    only_ignored = True
    for path in masks:
        values = mask_values(path)
        if values.ndim == 3:
            raise DataError(
                f"{path}: is an RGB mask, but no colours are known: add a {CLASSES_FILE} with the columns "
                "name,red,green,blue, or save the mask as grey or indexed PNG"
            )
        found = np.unique(values)
        found = found[found != IGNORED]
        if found.size and (found.max() > IGNORED or found.min() < 0):
            raise DataError(f"{path}: has the value {found.max()}, but class numbers are 0 to 254 and 255 is ignored")
        if found.size:
            only_ignored = False
            if found.max() > largest:
                largest, where = int(found.max()), path
            occurs[found] = True
    if only_ignored:
        raise DataError(
            f"{masks[0]}: every pixel of this mask, and of all others, is ignored (255): there is nothing to learn from"
        )
    if occurs.sum() < _MIN_SHARE_OF_VALUES * (largest + 1):
        raise DataError(
            f"{where}: has the value {largest}, but only {int(occurs.sum())} of the values up to it occur: say in a "
            f"{CLASSES_FILE} with the columns name,value what the values mean"
        )
    classes = numbered_classes(largest + 1)
    palette = palette_of(where, largest + 1)
    return classes if palette is None or len(set(palette)) <= largest else replace(classes, colors=palette)
