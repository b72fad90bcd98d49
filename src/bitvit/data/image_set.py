"""Labelled images, wherever they lie: in an array, in files, or behind timm's readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.data.errors import DataError
from bitvit.errors import ImageError
from bitvit.program import Preprocessing
from bitvit.runtime.preprocessing import load_image, open_rgb

__all__ = ["ArraySource", "Data", "FileSource", "ImageSet", "ImageSource", "RawImage"]

RawImage: TypeAlias = "Path | Image.Image | npt.NDArray[np.uint8]"
IntArray: TypeAlias = npt.NDArray[np.int64]


class ImageSource(Protocol):
    """Images by number, in any form that `bitvit.runtime.preprocessing.load_image` takes."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> RawImage:
        """Return image `index`."""

    def describe(self, index: int) -> str:
        """Return a name for image `index`, for messages and reports."""


@dataclass(frozen=True)
class ArraySource:
    """Images of one size in memory: uint8 `[N,H,W]` (grey) or `[N,H,W,3]` (RGB)."""

    images: npt.NDArray[np.uint8]
    name: str

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> RawImage:
        image: npt.NDArray[np.uint8] = self.images[index]
        return image

    def describe(self, index: int) -> str:
        return f"{self.name}[{index}]"


@dataclass(frozen=True)
class FileSource:
    """Images in files, decoded whenever they are asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> RawImage:
        return self.paths[index]

    def describe(self, index: int) -> str:
        return str(self.paths[index])


@dataclass(frozen=True)
class ImageSet:
    """A selection of a source's images with one class each.

    `indices[i]` is the number in the source of the set's image `i`, `targets[i]` its class, an index into `labels`.
    """

    source: ImageSource
    indices: IntArray
    targets: IntArray
    labels: tuple[str, ...]

    @classmethod
    def whole(
        cls, source: ImageSource, targets: Sequence[int] | npt.NDArray[np.integer], labels: Sequence[str]
    ) -> ImageSet:
        """Return the set of all images of `source`.

        Raises:
            DataError: if numbers of images and targets differ, or a target is no class.
        """
        classes = np.asarray(targets, dtype=np.int64)
        if len(source) != len(classes):
            raise DataError(f"{len(source)} images but {len(classes)} labels: the data set is damaged")
        if classes.size and not (classes.min() >= 0 and classes.max() < len(labels)):
            raise DataError(
                f"labels reach from {classes.min()} to {classes.max()}, but there are {len(labels)} classes"
            )
        return cls(source, np.arange(len(classes), dtype=np.int64), classes, tuple(labels))

    def __len__(self) -> int:
        return len(self.indices)

    def subset(self, positions: npt.NDArray[np.integer] | Sequence[int]) -> ImageSet:
        """Return the set of the images at `positions` of this one, in that order."""
        chosen = np.asarray(positions, dtype=np.int64)
        return replace(self, indices=self.indices[chosen], targets=self.targets[chosen])

    def with_targets(self, targets: IntArray) -> ImageSet:
        """Return the same images with other classes."""
        return replace(self, targets=targets)

    def describe(self, position: int) -> str:
        """Return a name for the image at `position`, for messages and reports."""
        return self.source.describe(int(self.indices[position]))

    def raw(self, position: int) -> RawImage:
        """Return the image at `position` as the source has it: a path, a PIL image or an array."""
        return self.source.read(int(self.indices[position]))

    def rgb(self, position: int) -> Image.Image:
        """Return the image at `position` decoded, upright and as RGB, at its own size.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        try:
            return open_rgb(self.raw(position))
        except ImageError as error:
            raise self._named(error, position) from None

    def pixels(self, position: int, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Return the image at `position` as the network sees it in evaluation and prediction: uint8 `[H,W,3]`.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        try:
            return load_image(self.raw(position), preprocessing)
        except ImageError as error:
            raise self._named(error, position) from None

    def batches(
        self, preprocessing: Preprocessing, batch_size: int
    ) -> Iterator[tuple[npt.NDArray[np.uint8], IntArray]]:
        """Yield all images in order as uint8 `[B,H,W,3]` with their classes `[B]`."""
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            images = np.stack([self.pixels(position, preprocessing) for position in range(start, stop)])
            yield images, self.targets[start:stop]

    def _named(self, error: ImageError, position: int) -> ImageError:
        name = self.describe(position)
        return error if name in str(error) else ImageError(f"{name}: {error}")


@dataclass(frozen=True)
class Data:
    """A data set ready for training: images to learn from, images to judge by, and the names of the classes."""

    name: str
    train: ImageSet
    val: ImageSet

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, one for each logit."""
        return self.train.labels
