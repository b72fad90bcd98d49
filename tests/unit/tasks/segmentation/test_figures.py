"""Pictures of label maps."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bitvit.runtime.label_maps import default_colors
from bitvit.tasks import Classes, task_named
from bitvit.tasks.segmentation.figures import draw_label_maps

CLASSES = Classes(("ground", "house", "tree"), default_colors(3))


def drawn(png: bytes) -> np.ndarray:
    """The picture's pixels."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_maps_are_drawn_in_the_classes_colours_and_ignored_pixels_white(mode: str) -> None:
    photos = [Image.new(mode, (12, 8))] * 2
    maps = [np.full((8, 12), number, np.uint8) for number in (1, 255)]
    pixels = drawn(draw_label_maps(photos, {"mask": maps}, CLASSES)).reshape(-1, 3)
    houses = (pixels == CLASSES.colors[1]).all(axis=1).sum()  # type: ignore[index]
    assert houses > 5000  # the whole cell, not only the legend
    assert not (pixels == CLASSES.colors[2]).all(axis=1).any()  # type: ignore[index]


def test_the_task_draws_answers_at_the_photos_own_size() -> None:
    scores = np.zeros((1, 3, 4, 4), np.float32)
    scores[:, 2] = 1
    photos, masks = [Image.new("RGB", (9, 5))], [np.zeros((5, 9), np.uint8)]
    task = task_named("segmentation")
    assert task.draws_examples
    pictures = task.example_figures(photos, masks, scores, CLASSES)
    trees = (drawn(pictures["masks.png"]) == CLASSES.colors[2]).all(axis=2)  # type: ignore[index]
    assert trees.sum() > 5000
