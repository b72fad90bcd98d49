"""What training and evaluation need of a set of images, whatever their targets are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.program import Preprocessing
from bitvit.text import printable

__all__ = ["TargetSet", "absent_classes"]


class TargetSet(Protocol):
    """Images by number, each with a target: a class (`ImageSet`) or a mask (`SegmentationSet`)."""

    counted: ClassVar[str]
    """What `class_counts` counts: "images" or "pixels"."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""

    def __len__(self) -> int: ...

    def describe(self, position: int) -> str:
        """Return a name for an image, for messages and reports."""

    def image(self, position: int) -> Image.Image:
        """Return an image decoded and upright, at its own size."""

    def pixels(self, position: int, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
        """Return an image as the network sees it: uint8 `[H,W,C]`."""

    def target(self, position: int) -> Any:
        """Return the target of an image."""

    def class_counts(self) -> npt.NDArray[np.int64]:
        """Return how often each class occurs, int64 `[classes]`."""

    def batches(self, preprocessing: Preprocessing, batch_size: int) -> Iterator[tuple[npt.NDArray[np.uint8], Any]]:
        """Yield all images in order as uint8 `[B,H,W,C]`, with their targets."""


def absent_classes(images: TargetSet) -> list[str]:
    """Return the names of the classes that none of the images is of or shows, in quotes, as a terminal shows them."""
    return [f"'{printable(images.labels[index], 60)}'" for index in np.flatnonzero(images.class_counts() == 0)]
