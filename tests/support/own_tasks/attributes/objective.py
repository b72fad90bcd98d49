"""Binary cross entropy of each attribute."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bitvit.tasks.classification.augmentation import training_transform
from bitvit.tasks.objective import Objective, ObjectivePlan

__all__ = ["AttributeObjective"]


class AttributeObjective(Objective):
    def __init__(self, plan: ObjectivePlan) -> None:
        self._transform = training_transform(plan.augmentation, plan.preprocessing)
        self._positive_weight: float = plan.settings.positive_weight  # type: ignore[attr-defined]

    def augment(self, image: Image.Image, target: Any) -> tuple[Tensor, Tensor]:
        return self._transform(image), torch.as_tensor(target, dtype=torch.float32)

    def loss(self, output: Any, targets: Tensor, teacher_output: Tensor | None) -> Tensor:
        heads = output if isinstance(output, tuple) else (output,)
        weight = torch.full((targets.shape[1],), self._positive_weight)
        losses = [F.binary_cross_entropy_with_logits(head, targets, pos_weight=weight) for head in heads]
        return torch.stack(losses).mean()
