"""Figures over a whole set, compared with torchmetrics and with a count by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from bitvit.errors import UsageError
from bitvit.program import Preprocessing
from bitvit.runtime.label_maps import nearest_resize
from bitvit.tasks import Classes, task_named
from bitvit.tasks.segmentation import SegmentationEvaluation, SegmentationScorer

SIZE = (4, 6)


def scores_of(labels: npt.NDArray[np.uint8], n_classes: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Scores `[classes,H,W]` whose largest is that of `labels`."""
    scores = rng.uniform(-1, 1, (n_classes, *labels.shape)).astype(np.float32)
    np.put_along_axis(scores, labels[None].astype(np.int64), 2.0, axis=0)
    return scores


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_torchmetrics_at_the_photos_own_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = tuple("abcdef")
    scorer = SegmentationScorer(labels, SIZE)
    jaccard = MulticlassJaccardIndex(num_classes=6, average="macro", ignore_index=255)
    by_class = MulticlassJaccardIndex(num_classes=6, average="none", ignore_index=255)
    accuracy = MulticlassAccuracy(num_classes=6, average="micro", ignore_index=255)
    for _ in range(3):
        shape = tuple(int(n) for n in rng.integers(3, 20, size=2))
        mask = rng.choice([0, 1, 2, 4, 255], size=shape).astype(np.uint8)  # class d is predicted only, class f never
        predicted = rng.integers(0, 5, size=SIZE).astype(np.uint8)
        scorer.add(scores_of(predicted, 6, rng)[None], [mask])
        pair = torch.from_numpy(nearest_resize(predicted, mask.shape).astype(np.int64)), torch.from_numpy(mask).long()
        for metric in (jaccard, by_class, accuracy):
            metric.update(*pair)
    result = scorer.result()
    assert result.images == 3
    assert result.miou == pytest.approx(float(jaccard.compute()), abs=1e-6)
    assert result.pixel_accuracy == pytest.approx(float(accuracy.compute()), abs=1e-6)
    assert result.iou["f"] is None
    assert [result.iou[label] for label in "abcde"] == pytest.approx(by_class.compute().tolist()[:5], abs=1e-6)


def test_is_of_the_whole_set_not_the_mean_of_its_images() -> None:
    scorer = SegmentationScorer(("a", "b"), (1, 1))
    scorer.add(np.zeros((1, 1), np.int32), [np.zeros((1, 1), np.uint8)])
    scorer.add(np.zeros((1, 1), np.int32), [np.array([[1] * 8 + [0]], np.uint8)])
    result = scorer.result()
    assert result.iou == {"a": pytest.approx(0.2), "b": 0.0}
    assert result.miou == pytest.approx(0.1)
    assert result.pixels == 10
    assert "'b'" in result.warnings()[0]


def test_always_one_class_is_guessing() -> None:
    masks = [np.array([[0, 0, 0, 1]], np.uint8), np.array([[0, 1, 0, 0]], np.uint8)]
    constant, good = SegmentationScorer(("a", "b"), (1, 4)), SegmentationScorer(("a", "b"), (1, 4))
    constant.add(np.zeros((2, 4), np.int32), masks)
    good.add(np.stack([mask.ravel() for mask in masks]).astype(np.int32), masks)
    doubt = constant.result().doubt()
    assert doubt is not None and doubt.text == "pixel accuracy 75.00% is not clearly above guessing (75.00%)"
    assert good.result().doubt() is None


def test_label_maps_of_a_packed_file_count_as_scores_do() -> None:
    rng = np.random.default_rng(0)
    task = task_named("segmentation")
    preprocessing = Preprocessing(SIZE, 6, fit="stretch")
    scores = rng.normal(size=(2, 3, *SIZE)).astype(np.float32)
    masks = [rng.integers(0, 3, size=(5, 7)).astype(np.uint8) for _ in range(2)]
    first, second = (task.scorer(Classes(("a", "b", "c")), preprocessing) for _ in range(2))
    first.add(scores, masks)
    decided = task.decisions(scores)
    assert decided.shape == (2, 24)
    second.add(decided.astype(np.int32), masks)
    assert first.result().metrics() == second.result().metrics()
    assert second.result().to_dict()["loss"] is None
    np.testing.assert_array_equal(task.decisions(decided.astype(np.int32)), decided)


def test_loss_is_the_cross_entropy_of_the_pixels_that_count() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(2, 3, *SIZE)).astype(np.float32)
    masks = rng.choice([0, 1, 2, 255], size=(2, *SIZE)).astype(np.uint8)
    scorer = SegmentationScorer(("a", "b", "c"), SIZE)
    scorer.add(scores, list(masks))
    expected = F.cross_entropy(torch.from_numpy(scores), torch.from_numpy(masks).long(), ignore_index=255)
    assert scorer.result().loss == pytest.approx(float(expected), rel=1e-5)


def test_sums_of_processes_add_up_and_figures_survive_json() -> None:
    rng = np.random.default_rng(2)
    whole = SegmentationScorer(("a", "b"), SIZE)
    parts = [SegmentationScorer(("a", "b"), SIZE) for _ in range(2)]
    for part in parts:
        scores, masks = rng.normal(size=(1, 2, *SIZE)), [rng.integers(0, 2, SIZE).astype(np.uint8)]
        whole.add(scores, masks)
        part.add(scores, masks)
    parts[0].sums = parts[0].sums + parts[1].sums
    assert parts[0].result() == whole.result()
    again = SegmentationEvaluation.from_dict(json.loads(json.dumps(whole.result().to_dict())))
    assert again == whole.result()
    without_loss = SegmentationEvaluation.from_dict({**whole.result().to_dict(), "loss": None})
    assert math.isnan(without_loss.loss)
    assert [name for name, _ in without_loss.rows()] == ["mIoU", "pixel accuracy"]


def test_nothing_to_judge_and_other_classes_are_refused() -> None:
    scorer = SegmentationScorer(("a", "b"), SIZE)
    with pytest.raises(UsageError, match="no images"):
        scorer.result()
    with pytest.raises(UsageError, match="3 classes"):
        scorer.add(np.zeros((1, 3, *SIZE)), [np.zeros(SIZE, np.uint8)])
