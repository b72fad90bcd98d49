"""The training half of a task: random changes of images, targets of a batch, and the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from bitvit.program import Preprocessing
from bitvit.tasks.settings import Augmentation, Distillation, TaskSettings
from bitvit.tasks.task import Classes

__all__ = ["Objective", "ObjectivePlan"]


@dataclass(frozen=True)
class ObjectivePlan:
    """What an objective is made from.

    Attributes:
        settings: the recipe's section `task`, of the task's own class.
        augmentation: the recipe's section.
        distillation: the recipe's section; its `kind` is "none" in phases without a teacher.
        classes: what is told apart.
        preprocessing: of the network that is trained.
        class_weights: factor of each class in the loss, with mean 1 over the training set; None counts all alike.
    """

    settings: TaskSettings
    augmentation: Augmentation
    distillation: Distillation
    classes: Classes
    preprocessing: Preprocessing
    class_weights: npt.NDArray[np.float32] | None = None


class Objective(ABC):
    """What a phase minimizes.

    Random numbers come from the global generators of Python, NumPy and PyTorch, which the caller has seeded.
    """

    needs_even_batches: bool = False
    """Whether images are mixed in pairs."""
    progress: float = 0.0
    """Share of the phase's steps that are over, 0 to 1, set before each loss: temperatures follow it."""

    @abstractmethod
    def augment(self, image: Image.Image, target: Any) -> tuple[Tensor, Any]:
        """Change a training image and its target together.

        Args:
            image: decoded, at its own size.
            target: as the image set gives it.

        Returns:
            The normalized image, float32 `[C,H,W]` of the network's size, and the target as a batch takes it (a number
            or a tensor, stacked by PyTorch's default).
        """

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch as the network and `loss` get it: images `[B,C,H,W]` and targets, on their device."""
        return images, targets

    @abstractmethod
    def loss(self, output: Any, targets: Tensor, teacher_output: Tensor | None) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            output: of the network in training mode.
            targets: as `mix` returned them.
            teacher_output: of the teacher on the same images; None without distillation.
        """
