"""Figures over a whole set, compared with torchmetrics and with a count by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from bitvit.data.segmentation import ConfusionMatrix
from bitvit.runtime.label_maps import default_colors, indexed_image, nearest_resize


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_torchmetrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = tuple("abcdef")
    counter = ConfusionMatrix(labels)
    jaccard = MulticlassJaccardIndex(num_classes=6, average="macro", ignore_index=255)
    by_class = MulticlassJaccardIndex(num_classes=6, average="none", ignore_index=255)
    accuracy = MulticlassAccuracy(num_classes=6, average="micro", ignore_index=255)
    for _ in range(3):
        shape = tuple(rng.integers(3, 20, size=2))
        mask = rng.choice([0, 1, 2, 4, 255], size=shape).astype(np.uint8)  # class 3 is predicted only, class 5 never
        predicted = rng.integers(0, 5, size=shape).astype(np.uint8)
        counter.add(predicted, mask)
        pair = torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(mask.astype(np.int64))
        for metric in (jaccard, by_class, accuracy):
            metric.update(*pair)
    result = counter.evaluation()
    assert result.images == 3
    assert result.miou == pytest.approx(float(jaccard.compute()), abs=1e-6)
    assert result.pixel_accuracy == pytest.approx(float(accuracy.compute()), abs=1e-6)
    assert result.iou["f"] is None
    expected = by_class.compute().tolist()
    assert [result.iou[label] for label in "abcde"] == pytest.approx(expected[:5], abs=1e-6)


def test_is_of_the_whole_set_not_the_mean_of_its_images() -> None:
    counter = ConfusionMatrix(("a", "b"))
    counter.add(np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    counter.add(np.zeros((1, 9), np.uint8), np.array([[1] * 8 + [0]], np.uint8))
    result = counter.evaluation()
    assert result.iou == {"a": pytest.approx(0.2), "b": 0.0}
    assert result.miou == pytest.approx(0.1)
    assert result.pixels == 10


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
