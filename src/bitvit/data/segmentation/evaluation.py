"""How good label maps are, over a whole set: one confusion matrix, and the figures that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.data.segmentation.classes import IGNORED

__all__ = ["ConfusionMatrix", "SegmentationEvaluation"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SegmentationEvaluation:
    """Figures of one model on one set of masks.

    Attributes:
        images: number of masks.
        pixels: number of pixels that are judged (those that are not ignored).
        miou: mean of `iou` over the classes that occur in masks or in predictions, 0 to 1.
        pixel_accuracy: share of the pixels whose class is right.
        iou: intersection over union of each class, over all pixels of the set; None for a class that occurs in neither.
        confusion: pixels of class i (row) that were given class j (column).
        loss: mean cross entropy in nats a pixel, where logits were seen; else None.
    """

    images: int
    pixels: int
    miou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    confusion: list[list[int]]
    loss: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class ConfusionMatrix:
    """Counts pixels by true and predicted class. ``iou_c = n_cc / (sum_j n_cj + sum_i n_ic - n_cc)``.

    Args:
        labels: names of the classes.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.counts: IntArray = np.zeros((len(labels), len(labels)), dtype=np.int64)
        self.images = 0

    def add(self, predicted: npt.NDArray[np.integer[Any]], mask: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of one photo; ``predicted`` and ``mask`` are `[H,W]`, ignored pixels do not count."""
        judged = mask != IGNORED
        n = len(self.labels)
        cells = mask[judged].astype(np.int64) * n + predicted[judged]
        self.counts += np.bincount(cells, minlength=n * n).reshape(n, n)
        self.images += 1

    def evaluation(self, loss: float | None = None) -> SegmentationEvaluation:
        """Return the figures of all that was added."""
        return evaluate_counts(self.counts, self.labels, self.images, loss)


def evaluate_counts(
    counts: IntArray, labels: tuple[str, ...], images: int, loss: float | None = None
) -> SegmentationEvaluation:
    """Return the figures that follow from a confusion matrix `[classes, classes]`."""
    right = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    occurs = union > 0
    iou = np.divide(right, union, out=np.zeros_like(right), where=occurs)
    total = int(counts.sum())
    return SegmentationEvaluation(
        images=images,
        pixels=total,
        miou=float(iou[occurs].mean()) if occurs.any() else 0.0,
        pixel_accuracy=float(right.sum() / total) if total else 0.0,
        iou={label: float(iou[i]) if occurs[i] else None for i, label in enumerate(labels)},
        confusion=counts.tolist(),
        loss=loss,
    )
