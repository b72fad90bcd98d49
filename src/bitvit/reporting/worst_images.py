"""The images on which a network is most wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bitvit.data import ImageSet
from bitvit.figures import png_of
from bitvit.reporting.finished_run import FinishedRun
from bitvit.text import for_figure
from bitvit.training.evaluation import normalize

__all__ = ["WorstImage", "draw_worst", "find_worst"]

_BATCH, _COLUMNS = 64, 4


@dataclass(frozen=True)
class WorstImage:
    """An image, and what the network says of it.

    Attributes:
        position: in the image set.
        name: of the image.
        loss: of this image alone.
        target: in words.
        answer: in words.
        confidence: the probability that the network gives its answer; None for answers for every pixel.
    """

    position: int
    name: str
    loss: float
    target: str
    answer: str
    confidence: float | None


def find_worst(run: FinishedRun, images: ImageSet, count: int) -> list[WorstImage]:
    """Return the images of the largest losses, the worst first.

    Args:
        run: whose network.
        images: to look among.
        count: how many to return.

    Returns:
        At most so many.
    """
    found: list[WorstImage] = []
    for start in range(0, len(images), _BATCH):
        part = images.subset(range(start, min(start + _BATCH, len(images))))
        pixels, targets = next(part.batches(run.info.preprocessing, len(part)))
        with torch.inference_mode():
            batch = normalize(torch.from_numpy(pixels), run.info.preprocessing)
            output = run.student(batch).float().numpy()
        for index, target in enumerate(targets):
            found.append(_worst_image(run, images, start + index, output[index : index + 1], target))
        found = sorted(found, key=lambda item: -item.loss)[:count]
    return found


def _worst_image(run: FinishedRun, images: ImageSet, position: int, output: Any, target: Any) -> WorstImage:
    scorer = run.task.scorer(run.classes, run.info.preprocessing)
    scorer.add(output, np.asarray(target)[None] if np.ndim(target) == 0 else [target])
    decision = run.task.decisions(output)[0]
    confidence = None
    if not run.task.is_for_pixels and output.ndim == 2:
        exponentials = np.exp(output[0] - output[0].max())
        confidence = float(exponentials.max() / exponentials.sum())
    return WorstImage(
        position,
        images.describe(position),
        float(scorer.result().loss),
        run.task.describe_target(target, run.classes),
        run.task.describe_target(decision, run.classes),
        confidence,
    )


def draw_worst(run: FinishedRun, images: ImageSet, worst: Sequence[WorstImage]) -> bytes:
    """Draw images with what is right and what the network says; with masks, where the task draws them.

    Args:
        run: whose network.
        images: of `find_worst`.
        worst: what it returned.

    Returns:
        A PNG file.
    """
    if run.task.draws_examples:
        positions = [item.position for item in worst]
        pixels, _ = next(images.subset(positions).batches(run.info.preprocessing, len(positions)))
        with torch.inference_mode():
            output = run.student(normalize(torch.from_numpy(pixels), run.info.preprocessing)).float().numpy()
        photos = [images.image(position) for position in positions]
        drawn = run.task.example_figures(
            photos, [images.target(position) for position in positions], output, run.classes
        )
        return next(iter(drawn.values()))
    return _gallery(images, worst)


def _gallery(images: ImageSet, worst: Sequence[WorstImage]) -> bytes:
    from matplotlib.figure import Figure

    rows = -(-len(worst) // _COLUMNS)
    figure = Figure(figsize=(2.5 * _COLUMNS, 3.0 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    for panel in axes.flat:
        panel.axis("off")
    for panel, item in zip(axes.flat, worst, strict=False):
        panel.imshow(np.asarray(images.image(item.position).convert("RGB")), interpolation="nearest")
        sure = "" if item.confidence is None else f" ({item.confidence:.0%})"
        lines = [f"is: {item.target}", f"said: {item.answer}{sure}"]
        panel.set_title("\n".join(textwrap.shorten(for_figure(line), 34) for line in lines), fontsize=9, loc="left")
    return png_of(figure)
