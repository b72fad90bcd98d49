"""Any data set that timm knows by name (`torch/...`, `hfds/...`), as long as its images can be read in any order."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bitvit.data.errors import DataError
from bitvit.data.image_set import ImageSet, RawImage
from bitvit.errors import ImageError
from bitvit.text import printable

__all__ = ["TIMM_PREFIXES", "load_timm"]

TIMM_PREFIXES = ("torch", "hfds", "tfds", "wds", "hfids")
_STREAMED = ("tfds", "wds", "hfids")


class _TimmSource:
    """Images of a timm or torchvision data set."""

    def __init__(self, dataset: Any, name: str) -> None:
        self._dataset = dataset
        self._name = name

    def __len__(self) -> int:
        return len(self._dataset)

    def read(self, index: int) -> RawImage:
        try:
            image = self._dataset[index][0]
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{self.describe(index)}: cannot be read ({error})") from None
        if isinstance(image, bytes):
            return Image.open(io.BytesIO(image))
        if not isinstance(image, Image.Image | np.ndarray):
            raise ImageError(f"{self.describe(index)}: is a {type(image).__name__}, not an image")
        return image

    def describe(self, index: int) -> str:
        return f"{self._name}[{index}]"


def _targets(dataset: Any) -> Sequence[int]:
    """Return all classes, without decoding the images where the data set has a list of them."""
    for attribute in ("targets", "_labels", "labels"):
        found = getattr(dataset, attribute, None)
        if isinstance(found, list | tuple | np.ndarray) and len(found) == len(dataset):
            return [int(target) for target in found]
    samples = getattr(getattr(dataset, "reader", dataset), "samples", None)
    if isinstance(samples, list | tuple) and len(samples) == len(dataset):
        return [int(sample[1]) for sample in samples]
    return [int(dataset[index][1]) for index in range(len(dataset))]


def load_timm(name: str, data_dir: str | Path | None) -> tuple[ImageSet, ImageSet]:
    """Return training and validation images of a timm data set, from local files only.

    The folder has to exist: libraries behind the names also take addresses and even commands (`pipe:...`) for one.

    Raises:
        DataError: if timm does not know the name, the files are not in `data_dir`, or the data set can only be
            streamed.
    """
    if data_dir is None:
        raise DataError(f"data set '{printable(name)}' needs its folder: give --data-dir")
    folder = Path(data_dir).expanduser().absolute()
    prefix = name.partition("/")[0].lower()
    if prefix in _STREAMED:
        raise DataError(
            f"data set '{printable(name)}' can only be streamed, which training in epochs does not support"
            + (f"; for shards give their folder: --data {printable(data_dir)}" if prefix == "wds" else "")
        )
    if not folder.is_dir():
        raise DataError(f"data set '{printable(name)}': {printable(folder)} is no folder")
    from timm.data import create_dataset

    datasets = []
    for split in ("train", "validation"):
        try:
            dataset = create_dataset(name, root=str(folder), split=split, download=False)
        except Exception as error:  # whatever the library behind the name raises
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"data set '{printable(name)}' cannot be opened in {printable(folder)}: {printable(reason, 500)}"
            ) from None
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise DataError(f"data set '{printable(name)}' can only be streamed")
        datasets.append(dataset)
    targets = [_targets(dataset) for dataset in datasets]
    names = getattr(datasets[0], "classes", None)
    n_classes = 1 + max((max(part) for part in targets if len(part)), default=-1)
    if not isinstance(names, list | tuple) or len(names) < n_classes:
        names = [str(label) for label in range(n_classes)]
    labels = [str(label) for label in names]
    train, val = (
        ImageSet.whole(_TimmSource(dataset, name), part, labels)
        for dataset, part in zip(datasets, targets, strict=True)
    )
    return train, val
