"""Figures of a model, on logits that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bitvit.data import DataError, ImageSet
from bitvit.data.image_set import ArraySource
from bitvit.program import Preprocessing
from bitvit.training import TrainingError, evaluate, evaluate_logits

PREPROCESSING = Preprocessing((2, 2), 2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))


def test_figures_of_known_logits() -> None:
    logits = np.zeros((4, 7), np.float32)
    logits[0, 2] = 5  # right
    logits[1] = [6, 5, 4, 3, 2, 1, 0]  # class 4 is fifth
    logits[2] = [6, 5, 4, 3, 2, 1, 0]  # class 5 is sixth
    logits[3] = 0  # all equal: the lowest class wins
    result = evaluate_logits(logits, np.array([2, 4, 5, 0]), tuple("abcdefg"))
    assert (result.images, result.top1, result.top5) == (4, 0.5, 0.75)
    assert result.per_class == {"a": 1.0, "c": 1.0, "e": 0.0, "f": 0.0}
    log_sum = np.log(np.exp(logits.astype(np.float64)).sum(axis=1))
    assert result.loss == pytest.approx(float((log_sum - [5, 2, 1, 0]).mean()), rel=1e-12)


def make_set(count: int = 5) -> ImageSet:
    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
    return ImageSet.whole(ArraySource(images, "made"), [i % 3 for i in range(count)], ["a", "b", "c"])


def test_float_models_get_normalized_images_and_packed_ones_bytes() -> None:
    seen: list[Tensor] = []

    def model(batch: Tensor) -> Tensor:
        seen.append(batch.clone())
        return torch.eye(3)[torch.zeros(len(batch), dtype=torch.int64)]

    images = make_set()
    assert evaluate(model, images, PREPROCESSING, batch_size=2).top1 == pytest.approx(2 / 5)
    floats = torch.cat(seen)
    seen.clear()
    evaluate(model, images, PREPROCESSING, batch_size=2, model_input="uint8")
    raw = torch.cat(seen)
    assert raw.dtype == torch.uint8
    assert raw.shape == (5, 2, 2, 3)
    scaled = (raw.double().numpy() / 255 - np.array(PREPROCESSING.mean)) / np.array(PREPROCESSING.std)
    # Three float32 roundings of numbers below 3.
    np.testing.assert_allclose(floats.numpy(), scaled.transpose(0, 3, 1, 2), atol=1e-6)


def test_a_model_for_other_classes_is_refused() -> None:
    with pytest.raises(DataError, match="4 classes, the data set 3"):
        evaluate(lambda batch: torch.zeros(len(batch), 4), make_set(), PREPROCESSING)
    with pytest.raises(TrainingError, match="no images"):
        evaluate(lambda batch: torch.zeros(len(batch), 3), make_set().subset([]), PREPROCESSING)
