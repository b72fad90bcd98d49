"""From any image to the bytes that a network sees, in training evaluation and in prediction alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit import _core
from bitvit.program.schema import Preprocessing
from bitvit.runtime.decoding import MAX_PIXELS, Decoding, ImageSource, open_image

__all__ = ["MAX_PIXELS", "Decoding", "ImageSource", "decoding_of", "load_image", "open_image", "prepare"]


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

    Image in the network's channels -> uint8 `[H,W,C]`. The core resizes as Pillow does, to the bit, so that programs in
    C and browsers see the same bytes. Sizes are rounded as in torchvision's Resize and CenterCrop. Of an image more
    than four times as long as wide only the middle is resized before it is cropped, so that one row of pixels does not
    become gigabytes.

    Raises:
        OutOfMemoryError: there is not enough memory to resize the image.
    """
    pixels = np.ascontiguousarray(image, dtype=np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return _core.fit_image(
        pixels,
        preprocessing.image_size,
        pixels.shape[2],
        preprocessing.fit,
        preprocessing.resize_size,
        preprocessing.interpolation,
    )
