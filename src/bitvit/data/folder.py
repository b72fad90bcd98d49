"""A user's own images: one folder a class."""

from __future__ import annotations

from pathlib import Path

from bitvit.data.errors import DataError
from bitvit.data.image_set import FileSource, ImageSet
from bitvit.data.splits import stratified_split

__all__ = ["IMAGE_SUFFIXES", "load_image_folder"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

_VAL_NAMES = ("val", "valid", "validation", "test")


def _class_folders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _load_classes(folder: Path, labels: tuple[str, ...] | None) -> ImageSet:
    """Return the images of `folder`, whose subfolders are classes (of `labels`, if given)."""
    classes = _class_folders(folder)
    if not classes:
        raise DataError(f"{folder}: is empty; expected one subfolder of images for each class")
    names = labels or tuple(entry.name for entry in classes)
    paths: list[Path] = []
    targets: list[int] = []
    for entry in classes:
        if entry.name not in names:
            raise DataError(f"{entry}: class '{entry.name}' does not occur among the training images")
        found = _images_in(entry)
        if not found:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"{entry}: class '{entry.name}' has no images ({kinds}); add some or remove the folder")
        paths.extend(found)
        targets.extend([names.index(entry.name)] * len(found))
    return ImageSet.whole(FileSource(tuple(paths)), targets, names)


def load_image_folder(folder: Path, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return training and validation images of a folder.

    Either `train/CLASS/...` with `val/CLASS/...` (or valid, validation, test), or `CLASS/...`, which is split by the
    seed with the same share of every class on both sides. So is `train/` if there is no `val/`. Images may lie in
    deeper folders of their class.

    Raises:
        DataError: if a folder is missing or empty, or a class has no images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    train_folder = folder / "train"
    if not train_folder.is_dir():
        return stratified_split(_load_classes(folder, None), val_fraction, seed)
    train = _load_classes(train_folder, None)
    val_folder = next((folder / name for name in _VAL_NAMES if (folder / name).is_dir()), None)
    if val_folder is None:
        return stratified_split(train, val_fraction, seed)
    return train, _load_classes(val_folder, train.labels)
