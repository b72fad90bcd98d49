"""The loss between a student's logits and its teacher's, whatever the task."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["distillation_loss"]


def distillation_loss(
    logits: Tensor, teacher_logits: Tensor, kind: Literal["hard", "soft"], temperature: float
) -> Tensor:
    """Cross entropy with the teacher's answer.

    hard: `CE(logits, argmax teacher)`. soft: `T^2 CE(logits / T, softmax(teacher / T))`, whose gradient is that of the
    Kullback-Leibler divergence.

    Args:
        logits: of the student, `[B,classes,...]`; a mean is taken over everything but the classes.
        teacher_logits: of the teacher, same shape.
        kind: hard or soft.
        temperature: T, for soft.

    Source: GSB Eq. 36 with DeiT's hard labels (default); soft as in BinaryViT and BHViT.
    """
    if kind == "hard":
        return F.cross_entropy(logits, teacher_logits.argmax(dim=1))
    target = torch.softmax(teacher_logits / temperature, dim=1)
    return F.cross_entropy(logits / temperature, target) * temperature**2
