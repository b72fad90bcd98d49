"""IDX files, the format of MNIST and its successors, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError
from bitvit.data.image_set import ArraySource, ImageSet
from bitvit.data.locations import find_folder

__all__ = ["FASHION_MNIST_LABELS", "has_idx_files", "load_fashion_mnist", "load_idx_folder", "read_idx"]

FASHION_MNIST_LABELS = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_UNSIGNED_BYTE = 0x08
_MAX_BYTES = 1 << 33
_IMAGES = ("train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-images-idx4-ubyte")


def _variants(name: str) -> list[str]:
    return [name, f"{name}.gz"]


def has_idx_files(folder: Path) -> bool:
    """Return whether `folder` holds IDX training images."""
    return any((folder / entry).is_file() for name in _IMAGES for entry in _variants(name))


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Return the array of unsigned bytes in an IDX file.

    The file is two zero bytes, a type byte (8: unsigned byte), the number of dimensions, that many big-endian 32-bit
    sizes, the data.

    Raises:
        DataError: if the file is missing, damaged, or of another type.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
                raise DataError(f"{path}: not an IDX file")
            if head[2] != _UNSIGNED_BYTE:
                raise DataError(f"{path}: IDX type {head[2]:#04x}, only unsigned bytes (0x08) are images or labels")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{path}: truncated in its header")
            shape = struct.unpack(f">{head[3]}I", sizes)
            expected = math.prod(shape)
            if expected > _MAX_BYTES:
                raise DataError(
                    f"{path}: {' x '.join(map(str, shape))} bytes are more than an IDX file can sensibly hold"
                )
            data = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if len(data) != expected:
        problem = "truncated" if len(data) < expected else "longer than its header says"
        raise DataError(f"{path}: {problem} ({expected} bytes expected)")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _find(folder: Path, part: str, kind: str) -> Path:
    ranks = ("1",) if kind == "labels" else ("3", "4")
    names = [f"{part}-{kind}{separator}idx{rank}-ubyte" for rank in ranks for separator in ("-", ".")]
    for name in names:
        for entry in _variants(name):
            if (folder / entry).is_file():
                return folder / entry
    raise DataError(f"{folder}: has no {names[0]} (or {names[0]}.gz)")


def load_idx_folder(folder: Path, labels: tuple[str, ...] | None = None) -> tuple[ImageSet, ImageSet]:
    """Return training and test images of a folder in MNIST's layout (`train-*` and `t10k-*` files).

    Images are `[N,H,W]` (grey) or `[N,H,W,3]` (RGB). Without `labels` the classes are called "0", "1", ...

    Raises:
        DataError: if a file is missing or damaged, or images and labels do not fit together.
    """
    parts = []
    for part in ("train", "t10k"):
        image_path, label_path = _find(folder, part, "images"), _find(folder, part, "labels")
        images, targets = read_idx(image_path), read_idx(label_path)
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
            raise DataError(f"{image_path}: shape {list(images.shape)} is neither [N,H,W] nor [N,H,W,3]")
        if targets.ndim != 1 or len(targets) != len(images):
            raise DataError(f"{label_path}: {targets.size} labels for {len(images)} images")
        if not len(images):
            raise DataError(f"{image_path}: holds no image")
        parts.append((ArraySource(images, str(image_path)), targets))
    names = labels or tuple(str(label) for label in range(1 + max(int(targets.max()) for _, targets in parts)))
    train, test = (ImageSet.whole(source, targets, names) for source, targets in parts)
    return train, test


def load_fashion_mnist(data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return Fashion-MNIST's 60,000 training and 10,000 test images (28 x 28, grey).

    Debian's package `dataset-fashion-mnist` is found by itself.

    Raises:
        DataError: if it is not found, or damaged.
    """
    wanted = [[entry] for name in _IMAGES[:2] for entry in _variants(name)]
    try:
        folder = find_folder("fashion-mnist", data_dir, ("fashion-mnist", "FashionMNIST/raw"), wanted)
    except DataError as error:
        if data_dir is not None:
            raise
        raise DataError(f"{error} (on Debian: apt-get install dataset-fashion-mnist)") from None
    return load_idx_folder(folder, FASHION_MNIST_LABELS)
