"""Sections of a recipe that a task reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Literal

from bitvit.errors import UsageError
from bitvit.tasks.registry import task_named

__all__ = ["Augmentation", "Distillation", "TaskSettings"]


@dataclass(frozen=True)
class TaskSettings:
    """The section `task`: which one, and in a subclass what only this task knows."""

    name: str = "classification"

    @classmethod
    def type_for(cls, content: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the class that reads a recipe's section: that of the task it names.

        Raises:
            UsageError: there is no such task.
        """
        name = content.get("name", cls.name)
        if not isinstance(name, str):
            raise UsageError(f"the name of a task is a string, not {name!r}")
        return task_named(name).settings


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images, as timm names and applies them."""

    scale: tuple[float, float] = (0.08, 1.0)
    """Share of the image's area that the random crop covers; (1, 1) with ratio (1, 1) switches cropping off."""
    ratio: tuple[float, float] = (0.75, 1.3333)
    horizontal_flip: float = 0.5
    vertical_flip: float = 0.0
    color_jitter: float = 0.0
    auto_augment: str | None = None
    """timm's policy string, such as `rand-m9-mstd0.5-inc1`."""
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_teacher: bool = True
    """Whether images are mixed in the training of a teacher as well, not only for the student that learns from it."""
    mix_probability: float = 1.0
    switch_probability: float = 0.5
    label_smoothing: float = 0.0
    repeats: int = 1
    """Repeated augmentation: an epoch takes so many differently changed copies of each of fewer images (DeiT: 3)."""


@dataclass(frozen=True)
class Distillation:
    """What the student learns from the teacher (GSB Eq. 36)."""

    kind: Literal["hard", "soft", "none"] = "hard"
    weight: float = 0.5
    """Eq. 36's lambda: the share of the distillation loss."""
    heads: Literal["distillation", "both"] = "distillation"
    """Which heads of a student with two learn from the teacher; the class head learns the label in any case."""
    temperature: float = 1.0
    """Softens both sides of soft distillation."""
    final_temperature: float | None = None
    """That of a stage's last step; null keeps the temperature as it is."""
    temperature_schedule: Literal["cosine", "linear"] = "cosine"
    """How it goes from one to the other over the steps of a stage: as half a cosine, or evenly."""
    distribution: float = 0.0
    """Q-ViT students: share of the distribution-guided loss of queries and keys, added to the others (1 in the
    paper)."""

    def temperature_at(self, progress: float) -> float:
        """Return the temperature after a share of a stage's steps.

        Args:
            progress: from 0 to 1.
        """
        if self.final_temperature is None:
            return self.temperature
        share = progress if self.temperature_schedule == "linear" else (1 - cos(pi * progress)) / 2
        return self.temperature + (self.final_temperature - self.temperature) * share
