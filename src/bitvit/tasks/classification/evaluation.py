"""Evaluation of logits on labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.errors import UsageError
from bitvit.tasks.guessing import guessed_share, is_clearly_better
from bitvit.tasks.task import Doubt, Evaluation, Scorer
from bitvit.text import listed, printable

__all__ = ["ClassificationEvaluation", "ClassificationScorer", "evaluate_logits"]

_LARGEST_MATRIX = 200
_MOST_NAMES = 5
_NEARLY_ALL = 0.95


@dataclass(frozen=True)
class ClassificationEvaluation(Evaluation):
    """Figures of one model on one image set.

    Attributes:
        images: number of images.
        top1: share of images whose class has the largest logit, 0 to 1.
        top5: share of images whose class is among the five largest logits, 0 to 1; 1 with fewer than six classes.
        balanced_accuracy: mean of the classes' top-1 shares, so that a rare class counts as much as a frequent one.
        guessed: share of right answers if answers had nothing to do with the images (`bitvit.tasks.guessing`).
        loss: mean cross entropy in nats.
        per_class: top-1 share for each class that has images.
        confusion: number of images of class i (row) that were taken for class j (column); None beyond 200 classes.
    """

    images: int
    top1: float
    top5: float
    balanced_accuracy: float
    guessed: float
    loss: float
    per_class: dict[str, float]
    confusion: tuple[tuple[int, ...], ...] | None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ClassificationEvaluation:
        """Return the evaluation whose `to_dict` is `content`."""
        matrix = content["confusion"]
        confusion = None if matrix is None else tuple(tuple(row) for row in matrix)
        return cls(**{**content, "confusion": confusion})

    def metrics(self) -> dict[str, float]:
        """Return top-1, top-5 and balanced accuracy."""
        return {"top1": self.top1, "top5": self.top5, "balanced_accuracy": self.balanced_accuracy}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            **asdict(self),
            "confusion": None if self.confusion is None else [list(row) for row in self.confusion],
        }

    def rows(self) -> list[tuple[str, str]]:
        """Return name and text of each figure."""
        return [
            ("top-1 accuracy", f"{self.top1:.2%}"),
            ("top-5 accuracy", f"{self.top5:.2%}"),
            ("balanced accuracy", f"{self.balanced_accuracy:.2%}"),
            ("cross entropy", f"{self.loss:.4f}"),
        ]

    def class_rows(self) -> list[tuple[str, str]]:
        """Return each class's accuracy."""
        return [(label, f"{share:.2%}") for label, share in self.per_class.items()]

    def doubt(self) -> Doubt | None:
        """Return why the network may as well be guessing, by the exact binomial test against `guessed`."""
        if len(self.per_class) < 2 or is_clearly_better(round(self.top1 * self.images), self.images, self.guessed):
            return None  # with images of one class there is nothing to tell apart
        figure = f"top-1 {self.top1:.2%} of {self.images:,} images"
        if self.confusion is None:
            of_classes = answers = np.full(len(self.per_class), self.images / len(self.per_class))
        else:
            of_classes, answers = np.sum(self.confusion, axis=1), np.sum(self.confusion, axis=0)
        frequent = int(of_classes.argmax())
        others = self.images - int(of_classes[frequent])
        is_majority = 2 * others < self.images
        name = list(self.per_class)[int(np.count_nonzero(of_classes[:frequent]))]
        if not is_clearly_better(self.images, self.images, float(((of_classes / self.images) ** 2).sum())):
            if not is_majority:
                return Doubt(f"{figure}, which are too few to tell from guessing", too_few=True)
            rare = f"of which only {others} {'is' if others == 1 else 'are'} not of class '{printable(name, 60)}'"
            return Doubt(f"{figure}, {rare}, too few to tell from always answering that", too_few=True)
        near = f"{figure} is not clearly above guessing ({self.guessed:.2%})"
        if is_majority and answers[frequent] >= _NEARLY_ALL * self.images:
            return Doubt(f"{near}, as nearly all are taken for '{printable(name, 60)}'", frequent=name)
        return Doubt(near)

    def warnings(self) -> list[str]:
        """Return warnings about classes without a recognized image."""
        lost = [f"'{label}'" for label, share in self.per_class.items() if share == 0]
        if not lost:
            return []
        return [
            f"no image of class {listed(lost, _MOST_NAMES)} is recognized: look at the confusion matrix, and if the "
            "class is rare, train with data.balance=sampling or data.balance=weights"
        ]


class ClassificationScorer(Scorer):
    """Adds up images, loss, right answers and the confusion matrix."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        self.sums = np.zeros(3 + len(labels) ** 2)

    def add(self, output: npt.NDArray[Any], targets: Sequence[Any] | npt.NDArray[np.int64]) -> None:
        """Add logits `[B,classes]` of images of classes `[B]`.

        Raises:
            UsageError: the number of logits is not the number of classes.
        """
        n_classes = len(self._labels)
        if output.shape[1] != n_classes:
            raise UsageError(f"the model has {output.shape[1]} classes, the data set {n_classes}: they do not match")
        classes = np.asarray(targets, dtype=np.int64)
        # A stable order makes the lowest class win among equals, as argmax does.
        ranking = np.argsort(-output, axis=1, kind="stable")[:, :5]
        scores = output.astype(np.float64)
        largest = scores.max(axis=1)
        log_sums = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
        own = scores[np.arange(len(classes)), classes]
        self.sums[0] += len(classes)
        self.sums[1] += (log_sums - own).sum()
        self.sums[2] += (ranking == classes[:, None]).sum()
        self.sums[3:] += np.bincount(classes * n_classes + ranking[:, 0], minlength=n_classes**2)

    def result(self) -> ClassificationEvaluation:
        """Return the figures of all images that were added.

        Raises:
            UsageError: no images were added.
        """
        images = int(self.sums[0])
        if not images:
            raise UsageError("there are no images to evaluate")
        n_classes = len(self._labels)
        matrix = self.sums[3:].reshape(n_classes, n_classes).astype(np.int64)
        counts, right = matrix.sum(axis=1), matrix.diagonal()
        shares = {
            label: float(right[index] / counts[index]) for index, label in enumerate(self._labels) if counts[index]
        }
        return ClassificationEvaluation(
            images=images,
            top1=float(right.sum() / images),
            top5=float(self.sums[2] / images),
            balanced_accuracy=float(np.mean(list(shares.values()))),
            guessed=guessed_share(self.sums[3:].reshape(n_classes, n_classes)),
            loss=float(self.sums[1] / images),
            per_class=shares,
            confusion=tuple(map(tuple, matrix.tolist())) if n_classes <= _LARGEST_MATRIX else None,
        )


def evaluate_logits(
    logits: npt.NDArray[np.float32], targets: Sequence[int] | npt.NDArray[np.int64], labels: Sequence[str]
) -> ClassificationEvaluation:
    """Evaluate logits `[N,classes]` against classes `[N]`.

    Raises:
        UsageError: if the number of logits is not the number of classes, or there are no images.
    """
    scorer = ClassificationScorer(labels)
    scorer.add(logits, targets)
    return scorer.result()
