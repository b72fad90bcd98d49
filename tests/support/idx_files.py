"""Small data sets in MNIST's on-disk format."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt


def idx_bytes(array: npt.NDArray[np.uint8], kind: int = 8) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


def write_idx_folder(
    folder: Path, separator: str = "-", suffix: str = "", n_classes: int = 3, rgb: bool = False
) -> None:
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 12), ("t10k", 6)):
        shape = (count, 5, 4, 3) if rgb else (count, 5, 4)
        images = rng.integers(0, 256, size=shape, dtype=np.uint8)
        labels = (np.arange(count) % n_classes).astype(np.uint8)
        for name, array in (("images", images), ("labels", labels)):
            content = idx_bytes(array)
            path = folder / f"{part}-{name}{separator}idx{array.ndim}-ubyte{suffix}"
            path.write_bytes(gzip.compress(content) if suffix else content)
