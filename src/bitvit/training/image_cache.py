"""Decoded training images, kept in memory as far as it goes."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image

from bitvit.data.target_set import TargetSet

__all__ = ["ImageCache", "sides_kept"]

_FEWEST_SIDES = 2
_MOST_SIDES = 4
"""With these the smallest usual crop, 8 % of an image, still has about as many pixels as the network sees."""


def sides_kept(scale: tuple[float, float], ratio: tuple[float, float]) -> int:
    """Return the shorter side of the images that are kept, in sides of the network's image.

    The shorter side of the smallest crop is sqrt(a r) of a square image's side, where a is its share of the area and r
    its sides' ratio. It shall have as many pixels as the network sees. Larger images only take memory and time.

    Args:
        scale: smallest and largest share of the area that is cut out.
        ratio: smallest and largest width / height.
    """
    smallest = math.sqrt(scale[0] * min(ratio[0], 1 / ratio[1]))
    return min(max(math.ceil(1 / smallest), _FEWEST_SIDES), _MOST_SIDES)


class ImageCache:
    """Training images before augmentation, each decoded once if there is room.

    Images that are far larger than the network's are reduced first, whether they are kept or not, so that memory does
    not change what is learned. A photo of 12 megapixels takes a tenth of a second to decode, in every epoch.

    Args:
        images: the training images.
        side: of the network's image in pixels, its longer one; None leaves images at their own size, as targets that
            are masks need it.
        limit_bytes: of all images that are kept.
        sides: shorter side of an image that is kept, in sides of the network's image (`sides_kept`).
    """

    def __init__(self, images: TargetSet, side: int | None, limit_bytes: int, sides: int = _MOST_SIDES) -> None:
        self._images = images
        self._side = None if side is None else sides * side
        self._left_bytes = limit_bytes
        self._kept: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self._images)

    def target(self, position: int) -> Any:
        """Return the target of an image."""
        return self._images.target(position)

    def image(self, position: int) -> Image.Image:
        """Return an image decoded, upright and reduced.

        Raises:
            ImageError: it cannot be decoded; the message names it.
        """
        if position in self._kept:
            return self._kept[position]
        image = self._reduced(self._images.image(position))
        size_bytes = image.width * image.height * len(image.getbands())
        if size_bytes <= self._left_bytes:
            self._left_bytes -= size_bytes
            self._kept[position] = image
        return image

    def _reduced(self, image: Image.Image) -> Image.Image:
        if self._side is None:
            return image
        share = self._side / min(image.size)
        if share >= 1:
            return image
        size = (max(round(image.width * share), 1), max(round(image.height * share), 1))
        return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
