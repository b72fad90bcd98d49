"""Figures of a model, on logits that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bitvit.data import ImageSet
from bitvit.data.image_set import ArraySource
from bitvit.errors import UsageError
from bitvit.program import Preprocessing
from bitvit.training import TrainingError, evaluate

PREPROCESSING = Preprocessing((2, 2), 2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))


def make_set(count: int = 5) -> ImageSet:
    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
    return ImageSet.whole(ArraySource(images, "made"), [i % 3 for i in range(count)], ["a", "b", "c"])


def test_float_models_get_normalized_images_and_packed_ones_bytes() -> None:
    seen: list[Tensor] = []

    def model(batch: Tensor) -> Tensor:
        seen.append(batch.clone())
        return torch.eye(3)[torch.zeros(len(batch), dtype=torch.int64)]

    images = make_set()
    assert evaluate(model, images, PREPROCESSING, batch_size=2).score == pytest.approx(2 / 5)
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
    with pytest.raises(UsageError, match="4 classes, the data set 3"):
        evaluate(lambda batch: torch.zeros(len(batch), 4), make_set(), PREPROCESSING)
    with pytest.raises(TrainingError, match="no images"):
        evaluate(lambda batch: torch.zeros(len(batch), 3), make_set().subset([]), PREPROCESSING)
