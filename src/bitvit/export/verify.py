"""How well a packed Program agrees with the trained model that it came from, measured on data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bitvit.export.graph import Array
from bitvit.program import Preprocessing, Program
from bitvit.runtime import Engine


@dataclass(frozen=True)
class ExportReport:
    """Agreement of the packed Program with its checkpoint.

    Attributes:
        images: number of images compared; 0 where none were given.
        identical_predictions: fraction of images with the same top-1 class; None without images.
        max_logit_difference: largest absolute difference of a logit; None without images.
        checkpoint_accuracy, packed_accuracy: top-1 fraction on labelled images; None without labels.
        packed_bytes: bytes of the Program's tensors.
        checkpoint_bytes: bytes of the checkpoint's parameters and buffers.
    """

    images: int
    identical_predictions: float | None
    max_logit_difference: float | None
    checkpoint_accuracy: float | None
    packed_accuracy: float | None
    packed_bytes: int
    checkpoint_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def measure_agreement(
    model: nn.Module,
    program: Program,
    tensors: dict[str, Array],
    preprocessing: Preprocessing,
    images: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64] | None]],
    threads: int | None = None,
) -> ExportReport:
    """Run both on the same bytes: the model in PyTorch on normalized floats, the Program in the engine."""
    engine = Engine(program, tensors, threads=threads)
    mean = torch.tensor(preprocessing.mean).view(3, 1, 1)
    std = torch.tensor(preprocessing.std).view(3, 1, 1)
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total = same = labelled = right_model = right_packed = 0
    difference = 0.0
    try:
        for batch, labels in images:
            floats = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).float() / 255.0
            with torch.no_grad():
                expected = model(((floats - mean) / std).to(device)).float().cpu().numpy()
            found = engine.run(np.ascontiguousarray(batch))
            total += len(batch)
            same += int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
            difference = max(difference, float(np.abs(expected - found).max()))
            if labels is not None:
                labelled += len(batch)
                right_model += int((expected.argmax(axis=1) == labels).sum())
                right_packed += int((found.argmax(axis=1) == labels).sum())
    finally:
        model.train(was_training)
    return ExportReport(
        images=total,
        identical_predictions=same / total if total else None,
        max_logit_difference=difference if total else None,
        checkpoint_accuracy=right_model / labelled if labelled else None,
        packed_accuracy=right_packed / labelled if labelled else None,
        packed_bytes=sum(array.nbytes for array in tensors.values()),
        checkpoint_bytes=sum(t.numel() * t.element_size() for t in model.state_dict().values()),
    )
