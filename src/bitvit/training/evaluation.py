"""How good a model is on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.data import ImageSet
from bitvit.program import Preprocessing
from bitvit.training.errors import TrainingError

__all__ = ["Evaluation", "evaluate", "evaluate_logits", "normalize"]


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
        TrainingError: if the number of logits is not the number of classes, or there are no images.
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


def evaluate_logits(
    logits: npt.NDArray[np.float32], targets: npt.NDArray[np.int64], labels: tuple[str, ...]
) -> Evaluation:
    """Judge logits `[N,classes]`, whoever computed them, by classes `[N]`.

    Raises:
        TrainingError: if the number of logits is not the number of classes.
    """
    if logits.shape[1] != len(labels):
        raise TrainingError(
            f"the model has {logits.shape[1]} classes, the data set {len(labels)}: they do not belong together"
        )
    scores, classes = torch.from_numpy(logits), torch.from_numpy(targets)
    # A stable order makes the lowest class win among equals, as argmax does.
    ranking = scores.argsort(dim=1, descending=True, stable=True)[:, :5]
    right = ranking == classes[:, None]
    per_class = {
        label: float(right[classes == index, 0].double().mean())
        for index, label in enumerate(labels)
        if bool((classes == index).any())
    }
    return Evaluation(
        images=len(targets),
        top1=float(right[:, 0].double().mean()),
        top5=float(right.any(dim=1).double().mean()),
        loss=float(F.cross_entropy(scores.double(), classes)),
        per_class=per_class,
    )
