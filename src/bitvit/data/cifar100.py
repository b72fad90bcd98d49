"""CIFAR-100, from its binary or its Python distribution."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError
from bitvit.data.image_set import ArraySource, ImageSet
from bitvit.data.locations import find_folder

__all__ = ["load_cifar100"]

_SIDE = 32
_RECORD = 2 + 3 * _SIDE * _SIDE  # coarse label, fine label, then the red, the green and the blue plane

# All that a pickled NumPy array of numbers names, in the spellings of Python 2 and 3 and of NumPy 1 and 2.
_ALLOWED_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of dictionaries, lists, strings, numbers and NumPy arrays; refuses to name anything else.

    A pickle can call any function that it can name. The Python distribution of CIFAR-100 is a dictionary of bytes,
    lists and one array, so the five names above are enough for it, and a doctored file gets no further than an error.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-100 file needs")
        return super().find_class(module, name)


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        content = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path}: not a CIFAR-100 file ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a CIFAR-100 file")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def _planes_to_images(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 `[N,3072]` of three colour planes -> uint8 `[N,32,32,3]`."""
    return np.ascontiguousarray(planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _load_binary(folder: Path) -> tuple[ImageSet, ImageSet]:
    names_path = folder / "fine_label_names.txt"
    labels = tuple(names_path.read_text().split()) if names_path.is_file() else tuple(str(i) for i in range(100))
    parts = []
    for part in ("train", "test"):
        path = folder / f"{part}.bin"
        data = np.fromfile(path, dtype=np.uint8)
        if not len(data) or len(data) % _RECORD:
            raise DataError(f"{path}: truncated ({len(data)} bytes are not a whole number of {_RECORD}-byte images)")
        records = data.reshape(-1, _RECORD)
        parts.append(ImageSet.whole(ArraySource(_planes_to_images(records[:, 2:]), str(path)), records[:, 1], labels))
    return parts[0], parts[1]


def _load_python(folder: Path) -> tuple[ImageSet, ImageSet]:
    labels = tuple(str(name) for name in _read_pickle(folder / "meta").get("fine_label_names", ()))
    if not labels:
        raise DataError(f"{folder / 'meta'}: has no fine_label_names")
    parts = []
    for part in ("train", "test"):
        path = folder / part
        content = _read_pickle(path)
        images, targets = content.get("data"), content.get("fine_labels")
        if not (
            isinstance(images, np.ndarray)
            and images.dtype == np.uint8
            and images.ndim == 2
            and images.shape[1] == 3 * _SIDE**2
        ):
            raise DataError(f"{path}: 'data' is not an array of 32 x 32 RGB images")
        if not isinstance(targets, list) or not all(isinstance(target, int) for target in targets):
            raise DataError(f"{path}: 'fine_labels' is not a list of numbers")
        parts.append(ImageSet.whole(ArraySource(_planes_to_images(images), str(path)), targets, labels))
    return parts[0], parts[1]


def load_cifar100(data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return CIFAR-100's 50,000 training and 10,000 test images (32 x 32, RGB) with their 100 fine classes.

    Raises:
        DataError: if it is not found, or damaged, or if its pickles hold anything but plain data.
    """
    subfolders = ("cifar-100-binary", "cifar-100-python", "cifar-100")
    wanted = (("train.bin", "test.bin"), ("train", "test", "meta"))
    folder = find_folder("cifar100", data_dir, subfolders, wanted)
    return _load_binary(folder) if (folder / "train.bin").is_file() else _load_python(folder)
