"""Oxford Flowers-102 as torchvision lays it out: `jpg/`, `imagelabels.mat`, `setid.mat`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError
from bitvit.data.image_set import FileSource, ImageSet
from bitvit.data.locations import find_folder

__all__ = ["load_flowers102"]


def _read_numbers(path: Path, key: str) -> npt.NDArray[np.int64]:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError("data set 'flowers102' needs scipy to read its .mat files: pip install scipy") from None
    try:
        # Only this numeric variable is decoded; MATLAB objects and functions in the file are not touched.
        content = loadmat(str(path), variable_names=[key])
    except Exception as error:  # a damaged file may raise anything
        raise DataError(f"{path}: not a MATLAB file ({error})") from None
    numbers = content.get(key)
    if not isinstance(numbers, np.ndarray) or not np.issubdtype(numbers.dtype, np.number):
        raise DataError(f"{path}: has no list of numbers called '{key}'")
    return numbers.reshape(-1).astype(np.int64)


def load_flowers102(data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return Oxford Flowers-102 split as in the GSB paper: 2,040 training (train + val) and 6,149 test images.

    Raises:
        DataError: if it is not found, or damaged.
    """
    subfolders = ("flowers-102", "flowers102", "oxford-flowers-102")
    folder = find_folder("flowers102", data_dir, subfolders, (("jpg", "imagelabels.mat", "setid.mat"),))
    targets = _read_numbers(folder / "imagelabels.mat", "labels") - 1
    if not len(targets) or targets.min() < 0:
        raise DataError(f"{folder / 'imagelabels.mat'}: classes do not count from 1")
    labels = tuple(str(number) for number in range(1, 2 + int(targets.max())))

    def part(*keys: str) -> ImageSet:
        # Image files are numbered from 1; setid.mat lists those numbers.
        numbers = np.concatenate([_read_numbers(folder / "setid.mat", key) for key in keys])
        if not len(numbers) or numbers.min() < 1 or numbers.max() > len(targets):
            raise DataError(f"{folder / 'setid.mat'}: {'+'.join(keys)} names images outside 1..{len(targets)}")
        paths = tuple(folder / "jpg" / f"image_{number:05d}.jpg" for number in numbers)
        missing = next((path for path in paths if not path.is_file()), None)
        if missing is not None:
            raise DataError(f"{missing}: no such image, though setid.mat lists it")
        return ImageSet.whole(FileSource(paths), targets[numbers - 1], labels)

    return part("trnid", "valid"), part("tstid")
