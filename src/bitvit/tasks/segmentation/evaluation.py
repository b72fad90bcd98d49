"""Evaluation of label maps over a whole set: one confusion matrix, and the figures that follow from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.errors import UsageError
from bitvit.runtime.label_maps import IGNORED, nearest_resize
from bitvit.tasks.guessing import LEAST_SKILL, guessed_share
from bitvit.tasks.task import Doubt, Evaluation, Scorer
from bitvit.text import listed

__all__ = ["SegmentationEvaluation", "SegmentationScorer", "label_maps"]

_HEADER = 3  # of the sums: images, summed loss, pixels of the loss
_MOST_NAMES = 5


@dataclass(frozen=True)
class SegmentationEvaluation(Evaluation):
    """Figures of one model on one set of masks.

    Attributes:
        images: number of masks.
        pixels: number of pixels that are judged (those that are not ignored), at the photos' own sizes.
        miou: mean of `iou` over the classes that occur in masks or in predictions, 0 to 1.
        pixel_accuracy: share of the pixels whose class is right.
        iou: intersection over union of each class, over all pixels of the set; None for a class that occurs in neither.
        confusion: pixels of class i (row) that were given class j (column).
        loss: mean cross entropy in nats per pixel at the network's size; NaN where a packed file gave classes only.
    """

    images: int
    pixels: int
    miou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    loss: float

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SegmentationEvaluation:
        """Return the evaluation whose `to_dict` is `content`."""
        loss = math.nan if content["loss"] is None else content["loss"]
        confusion = tuple(tuple(row) for row in content["confusion"])
        return cls(**{**content, "loss": loss, "confusion": confusion})

    def metrics(self) -> dict[str, float]:
        """Return mIoU and pixel accuracy."""
        return {"miou": self.miou, "pixel_accuracy": self.pixel_accuracy}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values; the loss is None where it is not known."""
        return {
            **asdict(self),
            "confusion": [list(row) for row in self.confusion],
            "loss": None if math.isnan(self.loss) else self.loss,
        }

    def rows(self) -> list[tuple[str, str]]:
        """Return name and text of each figure."""
        rows = [("mIoU", f"{self.miou:.2%}"), ("pixel accuracy", f"{self.pixel_accuracy:.2%}")]
        return rows if math.isnan(self.loss) else [*rows, ("cross entropy", f"{self.loss:.4f}")]

    def class_rows(self) -> list[tuple[str, str]]:
        """Return each class's IoU."""
        return [(label, "does not occur" if share is None else f"{share:.2%}") for label, share in self.iou.items()]

    def doubt(self) -> Doubt | None:
        """Return why the network may as well be guessing: pixels of one photo are alike, so by size, not by a test."""
        guessed = guessed_share(np.asarray(self.confusion, np.float64))
        if self.pixel_accuracy - guessed >= LEAST_SKILL * (1 - guessed) and guessed < 1:
            return None
        return Doubt(f"pixel accuracy {self.pixel_accuracy:.2%} is not clearly above guessing ({guessed:.2%})")

    def warnings(self) -> list[str]:
        """Return warnings about classes that are never found."""
        lost = [f"'{label}'" for label, share in self.iou.items() if share == 0]
        if not lost:
            return []
        return [
            f"no pixel of class {listed(lost, _MOST_NAMES)} is found: train longer, and if the class is rare, with "
            "data.balance=weights or task.dice=1"
        ]


class SegmentationScorer(Scorer):
    """Counts pixels by true and predicted class, at the photos' own sizes.

    A label map of the network's size is brought to the photo's own size by nearest neighbour (`nearest_resize`), as in
    prediction, and compared with the mask there. ``iou_c = n_cc / (sum_j n_cj + sum_i n_ic - n_cc)``.

    Args:
        labels: names of the classes.
        image_size: height and width of the network's images.
    """

    def __init__(self, labels: Sequence[str], image_size: tuple[int, int]) -> None:
        self._labels = tuple(labels)
        self._image_size = image_size
        self.sums = np.zeros(_HEADER + len(labels) ** 2)

    def add(self, output: npt.NDArray[Any], targets: Sequence[Any] | npt.NDArray[np.int64]) -> None:
        """Add a batch: scores `[B,classes,H,W]` or label maps `[B,H W]`, and masks uint8 `[h,w]` of any size.

        Raises:
            UsageError: the number of scores is not the number of classes.
        """
        n = len(self._labels)
        if output.ndim == 4 and output.shape[1] != n:
            raise UsageError(f"the model has {output.shape[1]} classes, the data set {n}: they do not match")
        maps = label_maps(output, self._image_size)
        for index, target in enumerate(targets):
            mask = np.asarray(target)
            predicted = nearest_resize(maps[index], (mask.shape[0], mask.shape[1]))
            judged = mask != IGNORED
            cells = mask[judged].astype(np.int64) * n + predicted[judged]
            self.sums[_HEADER:] += np.bincount(cells, minlength=n * n)
            self.sums[0] += 1
            if output.ndim == 4:
                self._add_loss(output[index], nearest_resize(mask, (output.shape[2], output.shape[3])))

    def _add_loss(self, scores: npt.NDArray[Any], mask: npt.NDArray[np.uint8]) -> None:
        rows, columns = np.nonzero(mask != IGNORED)
        chosen = scores[:, rows, columns].astype(np.float64)
        largest = chosen.max(axis=0, initial=-math.inf)
        log_sums = largest + np.log(np.exp(chosen - largest).sum(axis=0))
        self.sums[1] += (log_sums - chosen[mask[rows, columns], np.arange(len(rows))]).sum()
        self.sums[2] += len(rows)

    def result(self) -> SegmentationEvaluation:
        """Return the figures of all that was added.

        Raises:
            UsageError: no images were added.
        """
        if not self.sums[0]:
            raise UsageError("there are no images to evaluate")
        n = len(self._labels)
        counts = self.sums[_HEADER:].reshape(n, n)
        right = counts.diagonal()
        union = counts.sum(axis=0) + counts.sum(axis=1) - right
        occurs = union > 0
        iou = np.divide(right, union, out=np.zeros_like(right), where=occurs)
        total = counts.sum()
        return SegmentationEvaluation(
            images=int(self.sums[0]),
            pixels=int(total),
            miou=float(iou[occurs].mean()) if total else 0.0,
            pixel_accuracy=float(right.sum() / total) if total else 0.0,
            iou={label: float(iou[i]) if occurs[i] else None for i, label in enumerate(self._labels)},
            confusion=tuple(map(tuple, counts.astype(np.int64).tolist())),
            loss=float(self.sums[1] / self.sums[2]) if self.sums[2] else math.nan,
        )


def label_maps(output: npt.NDArray[Any], image_size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the class of every pixel, uint8 `[B,H,W]`, of scores `[B,classes,H,W]` or flat label maps `[B,H W]`.

    The lowest class wins among equal scores. A packed network may decide on a coarser grid of the image's aspect.
    """
    if output.ndim == 4:
        decided: npt.NDArray[np.uint8] = output.argmax(axis=1).astype(np.uint8)
        return decided
    cells = output.reshape(len(output), -1)
    step = math.isqrt(image_size[0] * image_size[1] // cells.shape[1])
    maps: npt.NDArray[np.uint8] = cells.astype(np.uint8)
    return maps.reshape(len(output), image_size[0] // step, image_size[1] // step)
