"""Label maps at other sizes and as pictures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from bitvit.program import Preprocessing
from bitvit.runtime.label_maps import default_colors, indexed_image, nearest_resize, overlay_image
from bitvit.runtime.preprocessing import prepare


@pytest.mark.parametrize("size", [(4, 6), (7, 5), (1, 1), (13, 2), (3, 20)])
def test_nearest_resize_shows_the_cell_that_each_centre_falls_into(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 9, size=(4, 6)).astype(np.uint8)
    rows, columns = ([int((i + Fraction(1, 2)) * n / m) for i in range(m)] for n, m in zip((4, 6), size, strict=True))
    np.testing.assert_array_equal(nearest_resize(labels, size), labels[np.ix_(rows, columns)])


def test_an_indexed_image_keeps_class_numbers_and_colours() -> None:
    labels = np.array([[0, 1], [2, 254]], np.uint8)
    colors = default_colors(255)
    assert len(set(colors)) == 255
    image = indexed_image(labels, colors)
    np.testing.assert_array_equal(np.asarray(image), labels)
    assert np.asarray(image.convert("RGB"))[1, 1].tolist() == list(colors[254])


def test_an_overlay_mixes_photo_and_colours() -> None:
    photo = Image.new("RGB", (2, 1), (200, 100, 0))
    mixed = np.asarray(overlay_image(photo, np.array([[0, 1]], np.uint8), ((0, 0, 0), (100, 0, 100))))
    assert mixed.tolist() == [[[100, 50, 0], [150, 50, 50]]]


def test_stretched_images_show_all_of_the_photo() -> None:
    photo = Image.fromarray(np.arange(8 * 2, dtype=np.uint8).reshape(2, 8) * 10)
    pixels = prepare(photo.convert("RGB"), Preprocessing((2, 4), 4, "nearest", fit="stretch"))
    assert pixels[..., 0].tolist() == [[10, 30, 50, 70], [90, 110, 130, 150]]
