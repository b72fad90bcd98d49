"""From any image to the bytes that a network sees, in training evaluation and in prediction alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.program.schema import Interpolation, Preprocessing
from bitvit.runtime.decoding import MAX_PIXELS, Decoding, ImageSource, open_image

__all__ = ["MAX_PIXELS", "Decoding", "ImageSource", "decoding_of", "load_image", "open_image", "prepare"]

_MAX_ASPECT = 4  # beyond this the ends of the long side cannot reach the centre crop, and are cut off before resizing

_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decoding_of(preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS) -> Decoding:
    """Return how the images for a network are decoded."""
    return Decoding(preprocessing.channels, preprocessing.value_range, max_pixels)


def load_image(
    source: ImageSource, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Read an image and bring it into the size of the network's input.

    Args:
        source: path, binary stream, Pillow image, or array of bool, uint8, uint16 or float with shape `[H,W]`,
            `[H,W,1]`, `[H,W,3]` or `[H,W,4]`.
        preprocessing: channels, sizes and interpolation.
        max_pixels: larger images are refused.

    Returns:
        uint8 `[H,W,C]`.

    Raises:
        ImageError: the image cannot be read or is too large; the message names it.
    """
    return prepare(open_image(source, decoding_of(preprocessing, max_pixels)), preprocessing)


def prepare(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Bring an image to the network's size.

    ``fit="crop"`` resizes the shorter side and crops the centre; ``fit="stretch"`` resizes the whole image, whatever
    its aspect ratio, so that a label map covers all of it.

    Image in the network's channels -> uint8 `[H,W,C]`. Sizes are rounded as in torchvision's Resize and CenterCrop. Of
    an image more than four times as long as wide only the middle is resized before it is cropped, so that one row of
    pixels does not become gigabytes.
    """
    if preprocessing.fit == "stretch":
        return _stretched(image, preprocessing)
    image = _without_far_ends(image)
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(preprocessing.resize_size * long / short)
    new_size = (preprocessing.resize_size, new_long) if width <= height else (new_long, preprocessing.resize_size)
    if new_size != image.size:
        image = image.resize(new_size, _FILTERS[preprocessing.interpolation])
    crop_height, crop_width = preprocessing.image_size
    left = round((image.width - crop_width) / 2)
    top = round((image.height - crop_height) / 2)
    return _with_channels(np.array(image.crop((left, top, left + crop_width, top + crop_height)), dtype=np.uint8))


def _with_channels(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _stretched(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    height, width = preprocessing.image_size
    if image.size != (width, height):
        image = image.resize((width, height), _FILTERS[preprocessing.interpolation])
    return _with_channels(np.array(image, dtype=np.uint8))


def _without_far_ends(image: Image.Image) -> Image.Image:
    width, height = image.size
    short, long = min(width, height), max(width, height)
    # The crop needs `short` pixels of the long side, and the filters a few more at each end.
    excess = (long - (_MAX_ASPECT * short + 8)) // 2
    if excess <= 0:
        return image
    box = (excess, 0, width - excess, height) if width > height else (0, excess, width, height - excess)
    return image.crop(box)
