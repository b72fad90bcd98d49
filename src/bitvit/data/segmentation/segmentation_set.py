"""Photos with a mask each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.data.errors import DataError
from bitvit.data.segmentation.classes import Color
from bitvit.data.segmentation.masks import Mask, MaskReader
from bitvit.errors import ImageError
from bitvit.program import Preprocessing
from bitvit.runtime.preprocessing import load_image, open_rgb

__all__ = ["SegmentationData", "SegmentationSet"]


@dataclass(frozen=True)
class SegmentationSet:
    """Pairs of a photo and its mask, decoded whenever they are asked for.

    Attributes:
        images, masks: files, in the same order.
        labels: names of the classes.
        colors: one for each class.
        read: how a mask becomes class numbers.
    """

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    labels: tuple[str, ...]
    colors: tuple[Color, ...]
    read: MaskReader

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

    def rgb(self, position: int) -> Image.Image:
        """Return the photo at `position` decoded, upright and as RGB, at its own size.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        return open_rgb(self.images[position])

    def pixels(self, position: int, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Return the photo at `position` as the network sees it in evaluation and prediction: uint8 `[H,W,3]`.

        Raises:
            ImageError: if it cannot be decoded; the message names it.
        """
        return load_image(self.images[position], preprocessing)

    def mask(self, position: int) -> Mask:
        """Return the mask at `position`: uint8 `[H,W]` at the photo's own size, 255 where ignored.

        Raises:
            DataError: if it cannot be read, or holds something that stands for no class; the message names it.
        """
        return self.read(self.masks[position])

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
            mask = self.mask(position)
            height, width = mask.shape
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


def _upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo after its EXIF orientation; the pixels are not decoded."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
            return (image.height, image.width) if turned else (image.width, image.height)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except Exception:
        size: tuple[int, int] = open_rgb(path).size  # says what is wrong with it
        return size


@dataclass(frozen=True)
class SegmentationData:
    """A data set ready for training: pairs to learn from, pairs to judge by, and the classes."""

    name: str
    train: SegmentationSet
    val: SegmentationSet

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.train.labels

    @property
    def colors(self) -> tuple[Color, ...]:
        """Colours of the classes."""
        return self.train.colors
