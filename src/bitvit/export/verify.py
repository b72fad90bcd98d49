"""How well a packed Program agrees with the trained model that it came from, measured on data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bitvit.layers.evaluation_mode import evaluation_mode
from bitvit.program import BitvitFile
from bitvit.runtime import Engine
from bitvit.tasks import Classes, task_named


@dataclass(frozen=True)
class ExportReport:
    """Agreement of the packed Program with its checkpoint.

    Attributes:
        images: number of images compared; 0 where none were given.
        identical_predictions: fraction of equal decisions (classes of images, or of pixels); None without images.
        max_logit_difference: largest absolute difference of a logit; None without images, or where the Program decides
            itself.
        metric: key of the task's first metric.
        checkpoint_accuracy: that metric of the checkpoint on labelled images; None without labels.
        packed_accuracy: that metric of the packed Program, likewise.
        packed_bytes: bytes of the Program's tensors.
        checkpoint_bytes: bytes of the checkpoint's parameters and buffers.
    """

    images: int
    identical_predictions: float | None
    max_logit_difference: float | None
    metric: str
    checkpoint_accuracy: float | None
    packed_accuracy: float | None
    packed_bytes: int
    checkpoint_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def measure_agreement(
    model: nn.Module,
    file: BitvitFile,
    images: Iterable[tuple[npt.NDArray[np.uint8], Any]],
    threads: int | None = None,
    device: str | torch.device | None = None,
) -> ExportReport:
    """Run both on the same bytes: the model in PyTorch on normalized floats, the Program in the engine.

    Args:
        model: trained network.
        file: what it was packed to; it need not have been written.
        images: batches of uint8 images `[B,H,W,C]`, and their targets or None.
        threads: threads of the engine.
        device: where the network runs, and stays; by default where it is.
    """
    task = task_named(file.task)
    classes = Classes(tuple(file.labels), None if file.colors is None else tuple(file.colors))
    engine = Engine(file.program, file.tensors, threads=threads)
    mean = torch.tensor(file.preprocessing.mean).view(-1, 1, 1)
    std = torch.tensor(file.preprocessing.std).view(-1, 1, 1)
    device = next(model.parameters()).device if device is None else device
    model.to(device)
    total = decided = same = labelled = 0
    difference: float | None = None
    scorers = [task.scorer(classes, file.preprocessing) for _ in range(2)]
    with evaluation_mode(model):
        for batch, targets in images:
            floats = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).float() / 255.0
            with torch.no_grad():
                expected = model(((floats - mean) / std).to(device)).float().cpu().numpy()
            found = engine.run(np.ascontiguousarray(batch))
            total += len(batch)
            own, packed = task.decisions(expected).reshape(-1), task.decisions(found).reshape(-1)
            decided += own.size
            same += int((own == packed).sum())
            if found.shape == expected.shape:
                difference = max(difference or 0.0, float(np.abs(expected - found).max()))
            if targets is not None:
                labelled += len(batch)
                for scorer, output in zip(scorers, (expected, found), strict=True):
                    scorer.add(output, targets)
    return ExportReport(
        images=total,
        identical_predictions=same / decided if decided else None,
        max_logit_difference=difference,
        metric=task.metrics[0].key,
        checkpoint_accuracy=scorers[0].result().score if labelled else None,
        packed_accuracy=scorers[1].result().score if labelled else None,
        packed_bytes=sum(array.nbytes for array in file.tensors.values()),
        checkpoint_bytes=sum(t.numel() * t.element_size() for t in model.state_dict().values()),
    )
