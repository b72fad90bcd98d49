"""CIFAR-10 and CIFAR-100, from their binary or their Python distributions."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError
from bitvit.data.image_set import ArraySource, ImageSet
from bitvit.data.locations import find_folder

__all__ = ["load_cifar10", "load_cifar100"]

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE  # the red, the green and the blue plane

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

    A pickle can call any function that it can name. The Python distribution of CIFAR is a dictionary of bytes,
    lists and one array, so the five names above are enough for it, and a doctored file gets no further than an error.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR file needs")
        return super().find_class(module, name)


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        content = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{path}: not a CIFAR file ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: not a CIFAR file")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def _planes_to_images(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 `[N,3072]` of three colour planes -> uint8 `[N,32,32,3]`."""
    return np.ascontiguousarray(planes.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


@dataclass(frozen=True)
class _Form:
    """Where the two data sets differ.

    Attributes:
        parts: names of the files with training images and with test images, without `.bin`.
        classes: number of classes.
        label_bytes: bytes before an image's planes in the binary distribution; the last one is its class.
        targets_key: of the classes of a pickled file's images.
        binary_names: file with the names of the classes in the binary distribution.
        python_names: file and key of them in the Python distribution.
    """

    parts: tuple[tuple[str, ...], tuple[str, ...]]
    classes: int
    label_bytes: int
    targets_key: str
    binary_names: str
    python_names: tuple[str, str]


_CIFAR10 = _Form(
    (tuple(f"data_batch_{number}" for number in range(1, 6)), ("test_batch",)),
    10,
    1,
    "labels",
    "batches.meta.txt",
    ("batches.meta", "label_names"),
)
_CIFAR100 = _Form((("train",), ("test",)), 100, 2, "fine_labels", "fine_label_names.txt", ("meta", "fine_label_names"))


def _load_binary(folder: Path, form: _Form) -> tuple[ImageSet, ImageSet]:
    names_path = folder / form.binary_names
    names = names_path.read_text().split() if names_path.is_file() else [str(i) for i in range(form.classes)]
    record = form.label_bytes + _PIXELS
    parts = []
    for files in form.parts:
        records = []
        for path in (folder / f"{file}.bin" for file in files):
            data = np.fromfile(path, dtype=np.uint8)
            if not len(data) or len(data) % record:
                raise DataError(f"{path}: truncated ({len(data)} bytes are not a whole number of {record}-byte images)")
            records.append(data.reshape(-1, record))
        joined = np.concatenate(records)
        source = ArraySource(_planes_to_images(joined[:, form.label_bytes :]), _shown(folder, files, ".bin"))
        parts.append(ImageSet.whole(source, joined[:, form.label_bytes - 1], names))
    return parts[0], parts[1]


def _load_python(folder: Path, form: _Form) -> tuple[ImageSet, ImageSet]:
    names_path = folder / form.python_names[0]
    labels = tuple(str(name) for name in _read_pickle(names_path).get(form.python_names[1], ()))
    if not labels:
        raise DataError(f"{names_path}: has no {form.python_names[1]}")
    parts = []
    for files in form.parts:
        planes, targets = [], []
        for path in (folder / file for file in files):
            content = _read_pickle(path)
            images, classes = content.get("data"), content.get(form.targets_key)
            if not (
                isinstance(images, np.ndarray)
                and images.dtype == np.uint8
                and images.ndim == 2
                and images.shape[1] == _PIXELS
            ):
                raise DataError(f"{path}: 'data' is not an array of 32 x 32 RGB images")
            if not isinstance(classes, list) or not all(isinstance(target, int) for target in classes):
                raise DataError(f"{path}: '{form.targets_key}' is not a list of numbers")
            planes.append(images)
            targets += classes
        source = ArraySource(_planes_to_images(np.concatenate(planes)), _shown(folder, files))
        parts.append(ImageSet.whole(source, targets, labels))
    return parts[0], parts[1]


def _shown(folder: Path, files: tuple[str, ...], suffix: str = "") -> str:
    """Return what messages call the images of some files."""
    return str(folder / f"{files[0]}{suffix}") if len(files) == 1 else f"{folder / files[0]}{suffix} ..."


def load_cifar10(data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return CIFAR-10's 50,000 training and 10,000 test images (32 x 32, RGB) with their 10 classes.

    Raises:
        DataError: if it is not found, or damaged, or if its pickles hold anything but plain data.
    """
    return _load("cifar10", _CIFAR10, data_dir, ("cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10"))


def load_cifar100(data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return CIFAR-100's 50,000 training and 10,000 test images (32 x 32, RGB) with their 100 fine classes.

    Raises:
        DataError: if it is not found, or damaged, or if its pickles hold anything but plain data.
    """
    return _load("cifar100", _CIFAR100, data_dir, ("cifar-100-binary", "cifar-100-python", "cifar-100"))


def _load(
    name: str, form: _Form, data_dir: str | Path | None, subfolders: tuple[str, ...]
) -> tuple[ImageSet, ImageSet]:
    files = [file for part in form.parts for file in part]
    binary = [f"{file}.bin" for file in files]
    folder = find_folder(name, data_dir, subfolders, (binary, [*files, form.python_names[0]]))
    is_binary = all((folder / file).is_file() for file in binary)
    return _load_binary(folder, form) if is_binary else _load_python(folder, form)
