"""What training a classification network minimizes."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bitvit.tasks.classification.augmentation import BatchMixer, training_transform
from bitvit.tasks.classification.losses import training_loss
from bitvit.tasks.objective import Objective, ObjectivePlan

__all__ = ["ClassificationObjective"]


class ClassificationObjective(Objective):
    """Cross entropy with labels (mixed and smoothed) and teacher."""

    def __init__(self, plan: ObjectivePlan) -> None:
        self._transform = training_transform(plan.augmentation, plan.preprocessing)
        self._mixer = BatchMixer(plan.augmentation, len(plan.classes))
        self._distillation = plan.distillation
        self._class_weights = None if plan.class_weights is None else torch.from_numpy(plan.class_weights)
        self.needs_even_batches = self._mixer.mixes

    def augment(self, image: Image.Image, target: Any) -> tuple[Tensor, int]:
        """Return the changed image and its class."""
        return self._transform(image), int(target)

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed images and target probabilities `[B,classes]`."""
        return self._mixer(images, targets)

    def loss(self, output: Any, targets: Tensor, teacher_output: Tensor | None) -> Tensor:
        """Return `training_loss`."""
        if self._class_weights is not None:
            self._class_weights = self._class_weights.to(targets)
        temperature = self._distillation.temperature_at(self.progress)
        return training_loss(output, targets, teacher_output, self._distillation, self._class_weights, temperature)
