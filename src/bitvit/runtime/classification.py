"""What the output of a classification network means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.program.schema import F32Array
from bitvit.runtime.errors import OutputValueError

__all__ = ["Prediction", "check_finite", "classify"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one image: the most probable class, and the next ones.

    Probabilities are the softmax of the logits; a trained network is usually surer of itself than it should be.

    Attributes:
        label: name of the most probable class.
        index: its number, from 0.
        probability: its probability, 0 to 1.
        top: the best classes and their probabilities, best first; among equals the lower index first.
        indices: the numbers of these classes.
        logits: float32 `[classes]`.
        probabilities: their softmax, float64 `[classes]`.
    """

    label: str
    index: int
    probability: float
    top: tuple[tuple[str, float], ...]
    indices: tuple[int, ...] = ()
    logits: F32Array = field(default_factory=lambda: np.empty(0, np.float32), repr=False, compare=False)
    probabilities: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the best classes as plain data."""
        return {
            "predictions": [
                {"label": label, "index": index, "probability": probability}
                for (label, probability), index in zip(self.top, self.indices, strict=True)
            ]
        }


def check_finite(logits: F32Array) -> None:
    """Refuse logits that are not numbers.

    Raises:
        OutputValueError: one of them is NaN or infinite.
    """
    if not np.isfinite(logits).all():
        worst = "nan" if np.isnan(logits).any() else "infinite"
        raise OutputValueError(
            f"the network's output is not finite ({worst}): the file is damaged, or training diverged"
        )


def classify(logits: F32Array, labels: Sequence[str], top_k: int) -> Prediction:
    """Return the prediction for the logits `[classes]` of one image: `p = softmax(logits)`.

    Raises:
        OutputValueError: the logits are not finite.
    """
    check_finite(logits)
    shifted = np.exp(logits.astype(np.float64) - float(logits.max()))
    probabilities = shifted / shifted.sum()
    order = _best(logits, top_k)
    top = tuple((labels[i], float(probabilities[i])) for i in order)
    return Prediction(
        top[0][0], int(order[0]), top[0][1], top, tuple(int(i) for i in order), logits.copy(), probabilities
    )


def _best(logits: F32Array, top_k: int) -> npt.NDArray[np.intp]:
    """Return the positions of the `top_k` largest, the lower one first among equals, without sorting all of them."""
    count = min(top_k, len(logits))
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    candidates = np.flatnonzero(logits >= least)
    return candidates[np.argsort(-logits[candidates], kind="stable")[:count]]
