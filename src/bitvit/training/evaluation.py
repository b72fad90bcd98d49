"""How good a model is on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitvit.data import ImageSet
from bitvit.data.evaluation import Evaluation, evaluate_logits
from bitvit.program import Preprocessing
from bitvit.training.errors import TrainingError

__all__ = ["Evaluation", "evaluate", "evaluate_logits", "normalize"]


def normalize(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 `[B,H,W,3]` -> float32 `[B,3,H,W]`: `(x / 255 - mean) / std`."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(3, 1, 1)
    return (images.permute(0, 3, 1, 2).float() / 255.0 - mean) / std


def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor],
    dataset: ImageSet,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    model_input: Literal["float", "uint8"] = "float",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run a model on all images and judge its logits.

    Args:
        model: takes normalized float images `[B,3,H,W]`, or with `model_input="uint8"` raw ones `[B,H,W,3]` (as packed
            models do). It is put into evaluation mode.
        dataset: the images; prepared exactly as in prediction.
        progress: called with the number of images after each batch.

    Raises:
        ImageError: if an image cannot be decoded.
        DataError: if the number of logits is not the number of classes.
        TrainingError: if there are no images.
    """
    if isinstance(model, nn.Module):
        model.eval()
    logits: list[npt.NDArray[np.float32]] = []
    with torch.inference_mode():
        for images, _ in dataset.batches(preprocessing, batch_size):
            batch = torch.from_numpy(images).to(device)
            output = model(batch if model_input == "uint8" else normalize(batch, preprocessing))
            logits.append(output.float().cpu().numpy())
            if progress is not None:
                progress(len(images))
    if not logits:
        raise TrainingError("there are no images to evaluate on")
    return evaluate_logits(np.concatenate(logits), dataset.targets, dataset.labels)
