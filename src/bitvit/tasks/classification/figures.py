"""Pictures of a classification."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitvit.figures import png_of
from bitvit.text import for_figure

__all__ = ["draw_confusion_matrix"]

_MOST_NUMBERS = 20
_MOST_NAMES = 40
_LONGEST_NAME = 30


def draw_confusion_matrix(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """Draw how many images of each class (row) were taken for which class (column), as PNG.

    Colours are shares of the row, so that rare classes are seen as well as frequent ones.
    """
    # The object interface: pyplot would choose a window system and keep global state.
    from matplotlib.figure import Figure

    matrix = np.asarray(confusion)
    n_classes = len(labels)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(2.5 + 0.4 * n_classes, 14)
    figure = Figure(figsize=(side + 1, side), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the class's images", shrink=0.7)
    if n_classes <= _MOST_NAMES:
        names = [for_figure(label, _LONGEST_NAME) for label in labels]
        axes.set_xticks(range(n_classes), names, rotation=90, fontsize=8)
        axes.set_yticks(range(n_classes), names, fontsize=8)
    if n_classes <= _MOST_NUMBERS:
        for row, column in np.argwhere(matrix > 0):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7, color=color)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class")
    return png_of(figure)
