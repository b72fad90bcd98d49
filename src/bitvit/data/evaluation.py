"""How good logits are on labelled images, whoever computed them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError

__all__ = ["Evaluation", "evaluate_logits"]


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one image set.

    Attributes:
        images: number of images.
        top1, top5: share of images whose class is the best (among the best five) of the logits, 0 to 1. With fewer than
            six classes top5 is 1.
        loss: mean cross entropy in nats.
        per_class: top-1 share for each class that has images.
    """

    images: int
    top1: float
    top5: float
    loss: float
    per_class: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def evaluate_logits(
    logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64], labels: tuple[str, ...]
) -> Evaluation:
    """Judge logits `[N,classes]` by classes `[N]`.

    Raises:
        DataError: if the number of logits is not the number of classes.
    """
    if logits.shape[1] != len(labels):
        raise DataError(
            f"the model has {logits.shape[1]} classes, the data set {len(labels)}: they do not belong together"
        )
    # A stable order makes the lowest class win among equals, as argmax does.
    ranking = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    right = ranking == targets[:, None]
    scores = logits.astype(np.float64)
    largest = scores.max(axis=1)
    log_sums = largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1))
    own = scores[np.arange(len(targets)), targets]
    per_class = {
        label: float(right[targets == index, 0].mean())
        for index, label in enumerate(labels)
        if bool((targets == index).any())
    }
    return Evaluation(
        images=len(targets),
        top1=float(right[:, 0].mean()),
        top5=float(right.any(axis=1).mean()),
        loss=float((log_sums - own).mean()),
        per_class=per_class,
    )
