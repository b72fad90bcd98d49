"""The core's resize and fit of 8-bit images equal Pillow's to the bit, for any size, up and down.

Pillow before version 13 always resizes columns before rows; the core does as version 13 does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, __version__

from bitvit import _core
from bitvit.program import ProgramError
from bitvit.program.schema import INTERPOLATIONS, Preprocessing
from bitvit.runtime import load_image
from bitvit.runtime.orientation import turned
from bitvit.runtime.preprocessing import open_image

Bytes = npt.NDArray[np.uint8]

MODES = {1: "L", 3: "RGB", 4: "RGBX"}
FILTERS = {name: Image.Resampling[name.upper()] for name in INTERPOLATIONS}

sides = st.one_of(st.integers(1, 40), st.integers(1, 300), st.sampled_from([1, 2, 224, 256, 257, 600]))
images = st.tuples(sides, sides, st.sampled_from([1, 3, 4]), st.integers(0, 2**32), st.booleans())


def pixels_of(height: int, width: int, channels: int, seed: int, extreme: bool) -> Bytes:
    """Noise; or only black and white, where sums leave the range of bytes."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return np.where(noise < 128, np.uint8(0), np.uint8(255)) if extreme else noise


def as_image(pixels: Bytes) -> Image.Image:
    height, width, channels = pixels.shape
    return Image.frombytes(MODES[channels], (width, height), pixels.tobytes())


def resized(image: Image.Image, width: int, height: int, interpolation: str) -> Image.Image:
    """What Pillow 13 gives, by way of one axis at a time where this is another version."""
    steps = [(width, height)]
    if int(__version__.split(".")[0]) < 13 and 0 < image.height - height > 2 * (image.width - width):
        steps.insert(0, (image.width, height))
    for step in steps:
        image = image.resize(step, FILTERS[interpolation])
    return image


def as_pixels(image: Image.Image) -> Bytes:
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


@settings(deadline=None, max_examples=400)
@given(image=images, height=sides, width=sides, interpolation=st.sampled_from(INTERPOLATIONS))
def test_resize_equals_pillow(image: Any, height: int, width: int, interpolation: Any) -> None:
    pixels = pixels_of(*image)
    expected = resized(as_image(pixels), width, height, interpolation)
    found = _core.resize_image(pixels, (height, width), interpolation)
    np.testing.assert_array_equal(found, as_pixels(expected))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("before", "after"), [((1080, 1920), (256, 455)), ((3, 5), (800, 1001)), ((1, 9000), (7, 3))])
def test_large_images(interpolation: Any, before: tuple[int, int], after: tuple[int, int]) -> None:
    pixels = pixels_of(*before, 3, 5, False)
    expected = resized(as_image(pixels), after[1], after[0], interpolation)
    np.testing.assert_array_equal(_core.resize_image(pixels, after, interpolation), as_pixels(expected))


def fit_with_pillow(image: Image.Image, preprocessing: Preprocessing) -> Bytes:
    """The page of the format in Pillow's words."""
    height, width = preprocessing.image_size
    if preprocessing.fit == "stretch":
        return as_pixels(resized(image, width, height, preprocessing.interpolation))
    shorter = min(image.size)
    ends = [max((side - (4 * shorter + 8)) // 2, 0) for side in image.size]
    image = image.crop((ends[0], ends[1], image.width - ends[0], image.height - ends[1]))
    new_size = [int(preprocessing.resize_size * side / shorter) for side in image.size]
    image = resized(image, *new_size, preprocessing.interpolation)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return as_pixels(image.crop((left, top, left + width, top + height)))


@settings(deadline=None, max_examples=300)
@given(image=images, size=st.tuples(st.integers(1, 60), st.integers(1, 60)), more=st.integers(0, 30), data=st.data())
def test_fit_equals_pillow(image: Any, size: tuple[int, int], more: int, data: st.DataObject) -> None:
    interpolation = data.draw(st.sampled_from(INTERPOLATIONS))
    fit: Any = data.draw(st.sampled_from(["crop", "stretch"]))
    pixels = pixels_of(*image)
    resize_size = max(size) + (more if fit == "crop" else 0)
    channels = pixels.shape[2]
    preprocessing = Preprocessing(
        size, resize_size, interpolation, (0.5,) * channels, (0.5,) * channels, channels=channels, fit=fit
    )
    expected = fit_with_pillow(as_image(pixels), preprocessing)
    found = _core.fit_image(pixels, size, channels, fit, resize_size, interpolation)
    np.testing.assert_array_equal(found, expected)
    array = pixels if channels != 1 else pixels[..., 0]
    np.testing.assert_array_equal(load_image(array, preprocessing), expected)


@settings(deadline=None, max_examples=100)
@given(image=images, orientation=st.integers(1, 8), channels=st.sampled_from([1, 3, 4]))
def test_orientation_and_channels(image: Any, orientation: int, channels: int) -> None:
    """The core turns and converts as it reads; Python does both with Pillow before."""
    pixels = pixels_of(*image)
    turned_image = turned(as_image(pixels), orientation)
    upright = np.ascontiguousarray(as_pixels(turned_image))
    preprocessing = Preprocessing((9, 7), 11, "bilinear", (0.5,) * channels, (0.5,) * channels, channels=channels)
    expected = load_image(upright, preprocessing)
    found = _core.fit_image(pixels, (9, 7), channels, "crop", 11, "bilinear", orientation)
    np.testing.assert_array_equal(found, expected)


def test_every_colour_over_white_and_in_grey() -> None:
    color, opacity = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    rgba = np.stack([color, color[::-1], color.T, opacity], axis=2)
    for channels in (1, 3):
        expected = as_pixels(open_image(rgba)) if channels == 3 else as_pixels(open_image(rgba).convert("L"))
        found = _core.fit_image(rgba, (256, 256), channels, "stretch", 256, "nearest")
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "orientation"), [((0, 5, 3), 1), ((5, 0, 3), 1), ((5, 5, 2), 1), ((5, 5, 3), 0), ((5, 5, 3), 9)]
)
def test_what_is_refused(shape: tuple[int, ...], orientation: int) -> None:
    with pytest.raises(ProgramError):
        _core.fit_image(np.zeros(shape, np.uint8), (4, 4), 3, "crop", 4, "bilinear", orientation)
    with pytest.raises(ProgramError, match="cubic"):
        _core.resize_image(np.zeros((2, 2, 3), np.uint8), (4, 4), "cubic")
