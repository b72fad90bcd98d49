"""From a data set's name to pairs of photos and masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitvit.data.errors import DataError
from bitvit.data.image_set import Data
from bitvit.data.segmentation.folder import has_masks, is_split, load_segmentation_folder
from bitvit.data.segmentation.published import PUBLISHED, load_published, published_form
from bitvit.data.segmentation.scenes import is_scenes, load_scenes
from bitvit.data.segmentation.segmentation_set import SegmentationSet
from bitvit.runtime.preprocessing import Decoding

__all__ = ["SEGMENTATION_NAMES", "build_segmentation_data", "is_segmentation", "load_segmentation"]

SEGMENTATION_NAMES = tuple(PUBLISHED)


def is_segmentation(name: str, data_dir: str | Path | None = None) -> bool:
    """Return whether `build_segmentation_data` accepts a data set's name.

    It accepts a published one, generated scenes, or a folder with masks.
    """
    if name in PUBLISHED:
        return True
    folder = _folder(name, data_dir)
    if folder is not None and folder.is_dir():
        return has_masks(folder) or published_form(folder) is not None
    return is_scenes(name)


def _folder(name: str, data_dir: str | Path | None) -> Path | None:
    if name == "folder":
        return None if data_dir is None else Path(data_dir).expanduser()
    return Path(name).expanduser()


def build_segmentation_data(
    name: str,
    data_dir: str | Path | None = None,
    *,
    val_fraction: float = 0.2,
    split_seed: int = 0,
    decoding: Decoding | None = None,
) -> Data:
    """Return the photos with masks called `name`.

    Args:
        name: one of `SEGMENTATION_NAMES`, or the path of a folder: with `images` and `masks`, or one of these data sets
            in its published form. `folder` stands for `data_dir`. `scenes/digits` are generated (`load_scenes`).
        data_dir: where the files of a named data set lie; by default the places of `bitvit.data.locations`.
        val_fraction: share of the pairs that validates, where the data set has no split of its own.
        split_seed: seed of that split.
        decoding: how the photos become pixels; by default RGB.

    Raises:
        DataError: if the data set is unknown, missing, damaged, or does not fit; the message names the file.
        ImageError: a photo cannot be read.
    """
    train, val, _ = load_segmentation(name, data_dir, val_fraction, split_seed)
    if len(train.labels) < 2:
        raise DataError(f"{train.masks[0]} and all other masks have one class: at least 2 are needed")
    if decoding is not None:
        train, val = train.decoded(decoding), val.decoded(decoding)
    images: Any = train, val  # which have the methods of `TargetSet`
    return Data(name, images[0], images[1], task="segmentation", colors=train.colors)


def load_segmentation(
    name: str, data_dir: str | Path | None, val_fraction: float, split_seed: int
) -> tuple[SegmentationSet, SegmentationSet, bool]:
    """Return training and validation pairs, and whether the data set itself has that split.

    Raises:
        DataError, ImageError: as `build_segmentation_data`.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction must be between 0 and 1, not {val_fraction:g}")
    if name in PUBLISHED:
        return *load_published(name, data_dir), True
    folder = _folder(name, data_dir)
    if folder is None:
        raise DataError(f"data set '{name}' needs its folder: give --data-dir")
    if not folder.is_dir():
        if is_scenes(name):
            return *load_scenes(name), True
        raise DataError(f"{folder}: no such folder")
    if has_masks(folder):
        train, val = load_segmentation_folder(folder, val_fraction, split_seed)
        return train, val, is_split(folder)
    published = published_form(folder)
    if published is not None:
        return *load_published(published, folder), True
    missing = next((part for part in ("images", "masks") if not (folder / part).is_dir()), "images")
    raise DataError(
        f"{folder / missing}: no such folder; segmentation needs images/ and masks/, each with train/ and val/ or "
        "without (then a seed splits them)"
    )
