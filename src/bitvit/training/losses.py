"""Classification and distillation losses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bitvit.training.recipe import Distillation

__all__ = ["Heads", "distillation_loss", "split_heads", "training_loss"]

Heads = tuple[Tensor, Tensor]


def split_heads(output: Tensor | Heads) -> Heads:
    """Return (class logits, distillation logits) of a model's training output; a model with one head serves both."""
    return (output, output) if isinstance(output, Tensor) else output


def distillation_loss(
    logits: Tensor, teacher_logits: Tensor, kind: Literal["hard", "soft"], temperature: float
) -> Tensor:
    """Cross entropy with the teacher's answer.

    hard: `CE(logits, argmax teacher)`. soft: `T^2 CE(logits / T, softmax(teacher / T))`, whose gradient is that of the
    Kullback-Leibler divergence.

    Args:
        logits, teacher_logits: `[B,classes]`.
        temperature: T, for soft.

    Source: GSB Eq. 36 with DeiT's hard labels (default); soft as in BinaryViT and BHViT.
    """
    if kind == "hard":
        return F.cross_entropy(logits, teacher_logits.argmax(dim=1))
    target = torch.softmax(teacher_logits / temperature, dim=1)
    return F.cross_entropy(logits / temperature, target) * temperature**2


def training_loss(
    output: Tensor | Heads, targets: Tensor, teacher_logits: Tensor | None, settings: Distillation
) -> Tensor:
    """`L = (1 - lambda) CE(class token, label) + lambda L_dis(distillation token, teacher)`.

    Without a teacher both heads learn the label, since prediction averages them: `L_dis = CE(distillation token,
    label)`. A model with one head learns both terms with it.

    Args:
        output: logits `[B,classes]`, or those of class and distillation token.
        targets: probabilities `[B,classes]` (one-hot, smoothed, or mixed).
        teacher_logits: `[B,classes]`, or None without distillation.

    Source: GSB Eq. 36.
    """
    class_logits, distillation_logits = split_heads(output)
    label_loss = F.cross_entropy(class_logits, targets)
    if teacher_logits is not None and settings.kind != "none":
        other = distillation_loss(distillation_logits, teacher_logits, settings.kind, settings.temperature)
    elif isinstance(output, Tensor):
        return label_loss
    else:
        other = F.cross_entropy(distillation_logits, targets)
    return (1 - settings.weight) * label_loss + settings.weight * other
