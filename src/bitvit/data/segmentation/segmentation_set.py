"""Photos with a mask each."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.data.errors import DataError
from bitvit.data.segmentation.classes import IGNORED, Color
from bitvit.data.segmentation.masks import Mask, MaskReader
from bitvit.program import Preprocessing
from bitvit.runtime.ahead import map_ahead
from bitvit.runtime.decoding import decode
from bitvit.runtime.label_maps import default_colors
from bitvit.runtime.preprocessing import Decoding, load_image, open_image

__all__ = ["PhotoReader", "SegmentationSet", "join_pairs"]

PhotoReader: TypeAlias = Callable[[Path], Path | Image.Image]
"""From a photo's name to its file, or to the photo itself where it is no file."""

_ORIENTATION_TAG = 0x0112
_TURNED = (5, 6, 7, 8)  # values of the tag that exchange width and height


def _file(path: Path) -> Path:
    return path


@dataclass(frozen=True)
class SegmentationSet:
    """Pairs of a photo and its mask, decoded whenever they are asked for.

    Attributes:
        images: image files; names of images where the set is generated.
        masks: their masks, in the same order.
        labels: names of the classes.
        colors: one for each class.
        read: how a mask becomes class numbers.
        decoding: how the photos become 8-bit pixels.
        find: where a photo is.
        generated: what the set was generated from, if it is no files.
    """

    counted: ClassVar[str] = "pixels"

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    labels: tuple[str, ...]
    colors: tuple[Color, ...]
    read: MaskReader
    decoding: Decoding = field(default_factory=Decoding)
    find: PhotoReader = _file
    generated: str | None = None

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, positions: Sequence[int] | npt.NDArray[np.integer]) -> SegmentationSet:
        """Return the set of the pairs at `positions`, in that order."""
        return replace(
            self,
            images=tuple(self.images[int(i)] for i in positions),
            masks=tuple(self.masks[int(i)] for i in positions),
        )

    def describe(self, position: int) -> str:
        """Return the name of the photo at `position`, for messages and reports."""
        return str(self.images[position])

    def decoded(self, decoding: Decoding) -> SegmentationSet:
        """Return the same pairs, with the photos read in another way."""
        return replace(self, decoding=decoding)

    def image(self, position: int) -> Image.Image:
        """Return the photo at `position` decoded and upright, at its own size, in grey, RGB or with four channels.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        return open_image(self.find(self.images[position]), self.decoding)

    def pixels(self, position: int, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Return the photo at `position` as the network sees it in evaluation and prediction: uint8 `[H,W,C]`.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        photo = self.find(self.images[position])
        return load_image(photo, preprocessing, max_pixels=self.decoding.max_pixels)

    def target(self, position: int) -> Mask:
        """Return the mask at `position`: uint8 `[H,W]` at the photo's own size, 255 where ignored.

        Raises:
            DataError: if it cannot be read, or holds something that stands for no class; the message names it.
        """
        return self.read(self.masks[position])

    def batches(
        self, preprocessing: Preprocessing, batch_size: int
    ) -> Iterator[tuple[npt.NDArray[np.uint8], list[Mask]]]:
        """Yield all photos in order as uint8 `[B,H,W,C]` with a list of their masks; threads decode ahead.

        Raises:
            ImageError, DataError: if one cannot be decoded; the message names it.
        """

        def pair(position: int) -> tuple[npt.NDArray[np.uint8], Mask]:
            return self.pixels(position, preprocessing), self.target(position)

        pairs = map_ahead(pair, range(len(self)), ahead=batch_size)
        for start in range(0, len(self), batch_size):
            pixels, masks = zip(*(next(pairs) for _ in range(start, min(start + batch_size, len(self)))), strict=True)
            yield np.stack(pixels), list(masks)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Return the number of pixels of each class."""
        counts = np.zeros(256, np.int64)
        for position in range(len(self)):
            counts += np.bincount(self.target(position).ravel(), minlength=256)
        return counts[: len(self.labels)]

    def fingerprint(self) -> str:
        """Return a digest of the files' names, sizes and times, and of the classes."""
        digest = hashlib.sha256("\0".join(self.labels).encode())
        if self.generated is not None:
            digest.update("\0".join([self.generated, *map(str, self.images)]).encode())
            return digest.hexdigest()[:16]
        for path in (*self.images, *self.masks):
            status = path.stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()[:16]

    def in_order_of(self, labels: tuple[str, ...], where: str) -> SegmentationSet:
        """Return the same pairs with the class numbers of a network.

        Raises:
            DataError: a class is none of the network's.
        """
        if self.labels == labels:
            return self
        numbered = self.labels == tuple(str(number) for number in range(len(self.labels)))
        if numbered and len(self.labels) <= len(labels) and not set(self.labels) <= set(labels):
            return replace(self, labels=labels, colors=default_colors(len(labels)))  # without names, by number
        unknown = next((label for label in self.labels if label not in labels), None)
        if unknown is not None:
            raise DataError(f"{where}: class '{unknown}' is none of the network's {len(labels)} classes")
        table = np.full(256, IGNORED, np.uint8)
        table[: len(self.labels)] = [labels.index(label) for label in self.labels]
        read = self.read
        colors = dict(zip(self.labels, self.colors, strict=True))
        drawn = tuple(
            colors.get(label, color) for label, color in zip(labels, default_colors(len(labels)), strict=True)
        )
        return replace(self, labels=labels, colors=drawn, read=lambda path: table[read(path)])

    def check(self, on_mask: Callable[[Mask], None] | None = None) -> None:
        """Look at every pair once, so that training does not stop at a bad one later.

        Args:
            on_mask: called with every mask.

        Raises:
            DataError: a mask cannot be read, has another size than its photo, or nothing but ignored pixels; the
                message names the file.
            ImageError: a photo cannot be read.
        """
        for position, (image, path) in enumerate(zip(self.images, self.masks, strict=True)):
            mask = self.target(position)
            height, width = mask.shape
            decode(image, self.decoding, reduced=True)
            size = _upright_size(image)
            if size != (width, height):
                raise DataError(
                    f"{path}: is {width} x {height}, but {image.name} is {size[0]} x {size[1]}: a mask has the size of "
                    "its photo"
                )
            if (mask == 255).all():
                raise DataError(
                    f"{path}: every pixel is ignored (255): nothing can be learned from it; remove the pair"
                )
            if on_mask is not None:
                on_mask(mask)


def join_pairs(parts: Sequence[SegmentationSet]) -> SegmentationSet:
    """Return the pairs of several sets with the same classes as one set."""
    first, *others = parts
    images = sum((part.images for part in others), first.images)
    return replace(first, images=images, masks=sum((part.masks for part in others), first.masks))


def _upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo after its EXIF orientation; the pixels are not decoded where that is possible."""
    try:
        with warnings.catch_warnings(), _opened(path) as image:
            turned = image.getexif().get(_ORIENTATION_TAG) in _TURNED
            if "xmp" not in image.info:
                return (image.height, image.width) if turned else (image.width, image.height)
    except Exception:
        pass  # open_image says what is wrong
    return open_image(path).size


def _opened(path: Path) -> Image.Image:
    warnings.simplefilter("ignore")
    return Image.open(path)
