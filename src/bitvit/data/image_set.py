"""Labelled images, wherever they are: in an array, in files, or behind timm's readers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.data.errors import DataError
from bitvit.errors import ImageError
from bitvit.program import Preprocessing
from bitvit.runtime.ahead import map_ahead
from bitvit.runtime.preprocessing import Decoding, load_image, open_image

__all__ = ["ArraySource", "Data", "FileSource", "ImageSet", "ImageSource", "JoinedSource", "RawImage", "join"]

RawImage: TypeAlias = "Path | io.BytesIO | Image.Image | npt.NDArray[np.uint8]"
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
        """Return one image, uint8 `[H,W]` or `[H,W,3]`."""
        image: npt.NDArray[np.uint8] = self.images[index]
        return image

    def describe(self, index: int) -> str:
        """Return the name of the array and the image's index, for messages."""
        return f"{self.name}[{index}]"


@dataclass(frozen=True)
class FileSource:
    """Images in files, decoded whenever they are asked for."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> RawImage:
        """Return the path of one image, which is decoded later."""
        return self.paths[index]

    def describe(self, index: int) -> str:
        """Return the path of one image, for messages."""
        return str(self.paths[index])


@dataclass(frozen=True)
class JoinedSource:
    """Images of several sources, one after the other."""

    sources: tuple[ImageSource, ...]

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def read(self, index: int) -> RawImage:
        """Return one image of the source that has it."""
        source, inside = self._find(index)
        return source.read(inside)

    def describe(self, index: int) -> str:
        """Return how its source describes one image, for messages."""
        source, inside = self._find(index)
        return source.describe(inside)

    def _find(self, index: int) -> tuple[ImageSource, int]:
        for source in self.sources:
            if index < len(source):
                return source, index
            index -= len(source)
        raise IndexError(index)


@dataclass(frozen=True)
class ImageSet:
    """A selection of a source's images with one class each.

    `indices[i]` is the number in the source of the set's image `i`, `targets[i]` its class, an index into `labels`.
    `decoding` says how its files become 8-bit pixels.
    """

    counted: ClassVar[str] = "images"

    source: ImageSource
    indices: IntArray
    targets: IntArray
    labels: tuple[str, ...]
    decoding: Decoding = field(default_factory=Decoding)

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

    def decoded(self, decoding: Decoding) -> ImageSet:
        """Return the same images, read in another way."""
        return replace(self, decoding=decoding)

    def target(self, position: int) -> int:
        """Return the class of the image at `position`."""
        return int(self.targets[position])

    def class_counts(self) -> IntArray:
        """Return how often each class occurs, `[classes]`."""
        return np.bincount(self.targets, minlength=len(self.labels)).astype(np.int64)

    def describe(self, position: int) -> str:
        """Return a name for the image at `position`, for messages and reports."""
        return self.source.describe(int(self.indices[position]))

    def raw(self, position: int) -> RawImage:
        """Return the image at `position` as the source has it: a path, a file in memory, a PIL image or an array."""
        return self.source.read(int(self.indices[position]))

    def image(self, position: int) -> Image.Image:
        """Return the image at `position` decoded and upright, at its own size, in grey, RGB or with four channels.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        try:
            return open_image(self.raw(position), self.decoding)
        except ImageError as error:
            raise self._named(error, position) from None

    def pixels(self, position: int, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Return the image at `position` as the network sees it in evaluation and prediction: uint8 `[H,W,C]`.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        try:
            return load_image(self.raw(position), preprocessing, max_pixels=self.decoding.max_pixels)
        except ImageError as error:
            raise self._named(error, position) from None

    def batches(
        self, preprocessing: Preprocessing, batch_size: int
    ) -> Iterator[tuple[npt.NDArray[np.uint8], IntArray]]:
        """Yield all images in order as uint8 `[B,H,W,C]` with their classes `[B]`; threads decode ahead.

        Raises:
            ImageError: if one cannot be decoded; the message names it.
        """
        pixels = map_ahead(lambda position: self.pixels(position, preprocessing), range(len(self)), ahead=batch_size)
        for start in range(0, len(self), batch_size):
            stop = min(start + batch_size, len(self))
            yield np.stack([next(pixels) for _ in range(start, stop)]), self.targets[start:stop]

    def _named(self, error: ImageError, position: int) -> ImageError:
        name = self.describe(position)
        return error if name in str(error) else ImageError(f"{name}: {error}")


@dataclass(frozen=True)
class Data:
    """A data set ready for training: images to train on, images to evaluate on, and the names of the classes.

    For segmentation `train` and `val` are a `SegmentationSet`, which has what training asks of both (`TargetSet`).
    `notes` are what the user should know about it before training, one line each.
    """

    name: str
    train: ImageSet
    val: ImageSet
    notes: tuple[str, ...] = ()
    task: str = "classification"
    """What a network for these images is for: the name of a task."""
    colors: tuple[tuple[int, int, int], ...] | None = None
    """Red, green, blue of each class, where the data set has them."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, one for each logit."""
        return self.train.labels


def join(parts: Sequence[ImageSet]) -> ImageSet:
    """Return the images of several sets with the same classes as one set.

    Raises:
        DataError: if there are none, or their classes differ.
    """
    if not parts:
        raise DataError("there are no images")
    first = parts[0]
    if any(part.labels != first.labels for part in parts):
        raise DataError("image sets with different classes cannot be joined")
    offsets = np.cumsum([0, *(len(part.source) for part in parts)])
    return ImageSet(
        JoinedSource(tuple(part.source for part in parts)),
        np.concatenate([part.indices + offset for part, offset in zip(parts, offsets, strict=False)]),
        np.concatenate([part.targets for part in parts]),
        first.labels,
        first.decoding,
    )
