"""Evaluation of a model on an image set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from bitvit.data.target_set import TargetSet
from bitvit.program import Preprocessing
from bitvit.tasks import Classes, Evaluation, Task, task_named
from bitvit.training.errors import TrainingError

__all__ = ["evaluate", "normalize"]


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 `[B,H,W,C]` -> float32 `[B,C,H,W]`: `(x / 255 - mean) / std`."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(-1, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(-1, 1, 1)
    return (images.permute(0, 3, 1, 2).float() / 255.0 - mean) / std


def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor],
    dataset: TargetSet,
    preprocessing: Preprocessing,
    *,
    task: Task | None = None,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    model_input: Literal["float", "uint8"] = "float",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run a model on all images and evaluate its outputs.

    Args:
        model: takes normalized float images `[B,C,H,W]`, or with `model_input="uint8"` raw ones `[B,H,W,C]` (as packed
            models do). It is put into evaluation mode.
        dataset: the images; prepared exactly as in prediction.
        preprocessing: of the images as the model takes them.
        task: what the model is for; by default classification.
        batch_size: images at a time.
        device: where the model runs.
        model_input: what the model takes, see `model`.
        progress: called with the number of images after each batch.

    Raises:
        ImageError: if an image cannot be decoded.
        UsageError: if the model's outputs do not fit the classes.
        TrainingError: if there are no images.
    """
    if not len(dataset):
        raise TrainingError("there are no images to evaluate")
    task = task or task_named("classification")
    scorer = task.scorer(Classes(dataset.labels), preprocessing)
    if isinstance(model, nn.Module):
        model.eval()
    with torch.inference_mode():
        for images, targets in dataset.batches(preprocessing, batch_size):
            batch = torch.from_numpy(images).to(device)
            output = model(batch if model_input == "uint8" else normalize(batch, preprocessing))
            scorer.add(output.float().cpu().numpy(), targets)
            if progress is not None:
                progress(len(images))
    return scorer.result()
