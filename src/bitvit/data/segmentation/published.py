"""ADE20K, Pascal VOC, Cityscapes and Oxford-IIIT Pet as they are published. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bitvit.data.errors import DataError
from bitvit.data.locations import find_folder
from bitvit.data.segmentation.classes import IGNORED, Classes
from bitvit.data.segmentation.masks import read_mask
from bitvit.data.segmentation.segmentation_set import SegmentationSet
from bitvit.runtime.label_maps import default_colors

__all__ = ["PUBLISHED", "published_form"]

Loader = Callable[[Path], tuple[SegmentationSet, SegmentationSet]]

_ADE_CLASSES = 150
_VOC_YEAR = "2012"
_VOC_LABELS = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_PET_LABELS = ("background", "pet")
_PET_VALUES = {1: 1, 2: 0, 3: IGNORED}  # foreground, background, the border between them


def _set(images: Sequence[str | Path], masks: Sequence[str | Path], classes: Classes) -> SegmentationSet:
    """Pairs of files, all of which must be there; their contents are looked at when they are used."""
    pairs = [(Path(image), Path(mask)) for image, mask in zip(images, masks, strict=True)]
    for image, mask in pairs:
        if not image.is_file():
            raise DataError(f"{image}: no such image, though the data set lists it")
        if not mask.is_file():
            raise DataError(f"{mask}: no such mask, though the data set has {image.name}")
    if not pairs:
        raise DataError("the data set lists no images")
    pairs.sort()
    return SegmentationSet(
        tuple(image for image, _ in pairs),
        tuple(mask for _, mask in pairs),
        classes.labels,
        classes.colors,
        partial(read_mask, classes=classes),
    )


def _ade_labels(folder: Path) -> tuple[str, ...]:
    """The names in `objectInfo150.txt`, or numbers where the file is not there."""
    path = folder / "objectInfo150.txt"
    if not path.is_file():
        return tuple(str(number) for number in range(1, _ADE_CLASSES + 1))
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:] if line.strip()]
    if len(rows) != _ADE_CLASSES or any(len(row) < 5 for row in rows):
        raise DataError(f"{path}: is not the list of {_ADE_CLASSES} classes of ADEChallengeData2016")
    return tuple(row[4].split(",")[0].strip() or row[0] for row in rows)


def load_ade20k(folder: Path) -> tuple[SegmentationSet, SegmentationSet]:
    """Return ADEChallengeData2016: 20,210 training and 2,000 validation scenes, 150 classes; value 0 is ignored."""
    labels = _ade_labels(folder)
    values = {0: IGNORED, **{number + 1: number for number in range(_ADE_CLASSES)}}
    classes = Classes(_distinct(labels), default_colors(_ADE_CLASSES), None, values)
    parts = []
    for part in ("training", "validation"):
        images = sorted((folder / "images" / part).glob("*.jpg"))
        masks = [folder / "annotations" / part / f"{image.stem}.png" for image in images]
        parts.append(_set(images, masks, classes))
    return parts[0], parts[1]


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Names that occur twice (ADE20K has two screens) get their number."""
    return tuple(
        f"{label} ({number})" if labels.index(label) < number else label for number, label in enumerate(labels)
    )


def load_voc(folder: Path) -> tuple[SegmentationSet, SegmentationSet]:
    """Return Pascal VOC 2012: 1,464 training and 1,449 validation photos, 21 classes; 255 (outlines) is ignored."""
    from torchvision.datasets import VOCSegmentation

    classes = Classes(_VOC_LABELS, default_colors(21), None, {i: i for i in range(21)})
    root = folder.parent.parent  # of VOCdevkit/VOC2012
    sets = [VOCSegmentation(str(root), year=_VOC_YEAR, image_set=part) for part in ("train", "val")]
    train, val = (_set(dataset.images, dataset.targets, classes) for dataset in sets)
    return train, val


def load_cityscapes(folder: Path) -> tuple[SegmentationSet, SegmentationSet]:
    """Return Cityscapes: 2,975 training and 500 validation street scenes, the 19 classes that are judged."""
    from torchvision.datasets import Cityscapes

    judged = sorted((entry for entry in Cityscapes.classes if entry.train_id not in (IGNORED, -1)), key=_train_id)
    numbers = {
        entry.id: entry.train_id if entry in judged else IGNORED for entry in Cityscapes.classes if entry.id >= 0
    }
    classes = Classes(tuple(e.name for e in judged), tuple(e.color for e in judged), None, numbers)
    sets = [Cityscapes(str(folder), split=part, mode="fine", target_type="semantic") for part in ("train", "val")]
    train, val = (_set(dataset.images, [entry[0] for entry in dataset.targets], classes) for dataset in sets)
    return train, val


def _train_id(entry: object) -> int:
    number: int = entry.train_id  # type: ignore[attr-defined]
    return number


def load_oxford_pet(folder: Path) -> tuple[SegmentationSet, SegmentationSet]:
    """Return Oxford-IIIT Pet: 3,680 photos of `trainval` and 3,669 of `test`; pet and background, borders ignored."""
    from torchvision.datasets import OxfordIIITPet

    classes = Classes(_PET_LABELS, default_colors(2), None, dict(_PET_VALUES))
    sets = [OxfordIIITPet(str(folder.parent), split=part, target_types="segmentation") for part in ("trainval", "test")]
    train, val = (_set(vars(dataset)["_images"], vars(dataset)["_segs"], classes) for dataset in sets)
    return train, val


# Name -> subfolders to look in, what must be in the right one, and its loader.
PUBLISHED: dict[str, tuple[tuple[str, ...], tuple[str, ...], Loader]] = {
    "ade20k": (
        ("ADEChallengeData2016", "ade20k", "ade20k/ADEChallengeData2016"),
        ("images/training", "images/validation", "annotations/training", "annotations/validation"),
        load_ade20k,
    ),
    "voc": (
        ("VOCdevkit/VOC2012", "VOC2012", "voc/VOCdevkit/VOC2012"),
        ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"),
        load_voc,
    ),
    "cityscapes": (
        ("cityscapes",),
        ("leftImg8bit/train", "leftImg8bit/val", "gtFine/train", "gtFine/val"),
        load_cityscapes,
    ),
    "oxford-pet": (
        ("oxford-iiit-pet", "oxford-pet/oxford-iiit-pet"),
        ("images", "annotations/trimaps", "annotations/trainval.txt", "annotations/test.txt"),
        load_oxford_pet,
    ),
}


def published_form(folder: Path) -> str | None:
    """Return the name of the data set that a folder, or the usual subfolder of it, holds in its published form."""
    for name in PUBLISHED:
        if _find_in(folder, name) is not None:
            return name
    return None


def _find_in(folder: Path, name: str) -> Path | None:
    subfolders, wanted, _ = PUBLISHED[name]
    for candidate in (folder, *(folder / subfolder for subfolder in subfolders)):
        if all((candidate / entry).exists() for entry in wanted):
            return candidate
    return None


def load_published(name: str, data_dir: str | Path | None) -> tuple[SegmentationSet, SegmentationSet]:
    """Return the training and the validation part of a data set of `PUBLISHED`.

    Raises:
        DataError: it is not found, or incomplete; the message says what is missing.
    """
    subfolders, wanted, load = PUBLISHED[name]
    folder = find_folder(name, data_dir, subfolders, (wanted,)).absolute()
    expected = {"voc": "VOCdevkit/VOC2012", "oxford-pet": "oxford-iiit-pet"}.get(name)
    if expected is not None and not folder.as_posix().endswith(expected):
        raise DataError(f"{folder}: must be called {expected}, as published")
    try:
        return load(folder)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{folder}: is not {name} in its published form ({' '.join(str(error).split())})") from None
