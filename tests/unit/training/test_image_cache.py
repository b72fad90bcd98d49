"""Training images that are decoded once, reduced where they are far larger than the network's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.data import ImageSet
from bitvit.data.image_set import ArraySource, FileSource
from bitvit.runtime.decoding import Decoding
from bitvit.training.image_cache import ImageCache, sides_kept


def image_set(height: int, width: int, count: int = 4) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return ImageSet.whole(ArraySource(pixels, "made"), [i % 2 for i in range(count)], ["a", "b"])


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (100, 80, 16, (80, 64)),
        (60, 300, 8, (32, 160)),
        (64, 64, 16, (64, 64)),
        (64, 500, 16, (64, 500)),
        (20, 30, 16, (20, 30)),
        (400, 300, None, (400, 300)),
    ],
)
def test_sizes(height: int, width: int, side: int | None, expected: tuple[int, int]) -> None:
    images = image_set(height, width)
    image = ImageCache(images, side, 1 << 20).image(1)
    assert (image.height, image.width) == expected
    if expected == (height, width):
        assert np.array_equal(np.asarray(image), np.asarray(images.image(1)))


@pytest.mark.parametrize(
    ("scale", "ratio", "sides"),
    [
        ((0.5, 1.0), (0.85, 1.18), 2), ((0.08, 1.0), (3 / 4, 4 / 3), 4), ((0.25, 1.0), (0.75, 1.333), 3),
        ((1.0, 1.0), (1.0, 1.0), 2), ((0.01, 0.1), (0.5, 2.0), 4),
    ],
)  # fmt: skip
def test_no_crop_has_fewer_pixels_than_the_network_sees(
    scale: tuple[float, float], ratio: tuple[float, float], sides: int
) -> None:
    assert sides_kept(scale, ratio) == sides
    image = ImageCache(image_set(90, 120), 8, 1 << 20, sides).image(0)
    assert (image.height, image.width) == (8 * sides, round(120 * 8 * sides / 90))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pixels_do_not_depend_on_the_memory(channels: int) -> None:
    images = image_set(90, 120, 8).decoded(Decoding(channels=channels))
    unlimited, none = ImageCache(images, 8, 1 << 30), ImageCache(images, 8, 0)
    some = ImageCache(images, 8, 3 * 32 * 43 * channels)
    for _ in range(2):
        for position in range(8):
            found = [np.asarray(cache.image(position)) for cache in (unlimited, some, none)]
            assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    assert unlimited.image(5) is unlimited.image(5)
    assert none.image(5) is not none.image(5)
    assert sum(some.image(position) is some.image(position) for position in range(8)) == 3
    assert [unlimited.target(position) for position in range(len(unlimited))] == [0, 1] * 4


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.new("RGB", (300, 200), (200, 30, 10)).save(path)
    cache = ImageCache(ImageSet.whole(FileSource((path,)), [0], ["a"]), 16, 1 << 20)
    first = cache.image(0)
    path.unlink()
    assert cache.image(0) is first and first.size == (96, 64)
    assert np.asarray(first).reshape(-1, 3).tolist() == [[200, 30, 10]] * (96 * 64)
