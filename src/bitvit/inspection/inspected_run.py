"""A run that is inspected: its network, the full-precision teacher, and the images to look at them with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitvit.checkpoints import CheckpointInfo, is_binary, load_checkpoint
from bitvit.data import ImageSet
from bitvit.errors import UsageError
from bitvit.layers import is_comparison_only
from bitvit.tasks import Classes, Task, task_named
from bitvit.training.evaluation import normalize

_BATCH = 64


@dataclass(frozen=True)
class InspectedRun:
    """What is inspected.

    Attributes:
        path: run folder or checkpoint.
        student: the binary network, in evaluation mode.
        info: what its checkpoint says.
        teacher: the full-precision network of the same run, None if there is none.
        pixels: uint8 images `[N, H, W, 3]` as the network gets them.
        images: the same, normalized `[N, 3, H, W]`.
        targets: one for each image, as the image set gives them.
    """

    path: Path
    student: nn.Module
    info: CheckpointInfo
    teacher: nn.Module | None
    pixels: Tensor
    images: Tensor
    targets: Sequence[Any]

    @property
    def name(self) -> str:
        """The network's registered name."""
        return self.info.model.name

    @property
    def task(self) -> Task:
        """What the network is for."""
        return task_named(self.info.task)

    @property
    def classes(self) -> Classes:
        """What the network tells apart."""
        return Classes(self.info.labels, self.info.colors)

    @torch.inference_mode()
    def figures(self, model: nn.Module) -> dict[str, float]:
        """Return loss and metrics of a network on the images."""
        scorer = self.task.scorer(self.classes, self.info.preprocessing)
        model.eval()
        for start in range(0, len(self.images), _BATCH):
            output: Tensor = model(self.images[start : start + _BATCH])
            scorer.add(output.float().numpy(), self.targets[start : start + _BATCH])
        result = scorer.result()
        return {"loss": result.loss, **result.metrics()}


def open_run(path: Path, images: ImageSet, count: int) -> InspectedRun:
    """Load the networks of a run, and the first images of a set.

    Args:
        path: run folder or checkpoint of a binary network. The teacher is `teacher.safetensors` beside it.
        images: labelled images.
        count: how many of them to take, spread over the whole set.

    Raises:
        CheckpointError: the checkpoint cannot be read. ImageError: an image cannot be decoded.
        UsageError: the network is not binary or a comparison method, or there are no images.
    """
    student, info = load_checkpoint(path)
    if not is_binary(student) or info.stage != "full":
        raise UsageError(f"{path}: contains no finished binary network to inspect")
    if is_comparison_only(student):
        raise UsageError(
            f"{path}: {info.model.name} is a comparison method, whose binarization cannot be taken apart; inspect a "
            "network that can be packed, and name this run after it for its loss curves"
        )
    if not len(images):
        raise UsageError("there are no images to inspect with")
    positions = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64))
    chosen = images.subset(positions)
    batch, targets = next(chosen.batches(info.preprocessing, len(chosen)))
    pixels = torch.from_numpy(batch)
    beside = (path if path.is_dir() else path.parent) / "teacher.safetensors"
    teacher = load_checkpoint(beside)[0] if beside.is_file() else None
    if teacher is not None and getattr(teacher, "num_classes", 0) != len(info.labels):
        teacher = None
    return InspectedRun(path, student, info, teacher, pixels, normalize(pixels, info.preprocessing), list(targets))
