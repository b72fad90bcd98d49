"""Sections of a recipe that a task reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    mix_probability: float = 1.0
    switch_probability: float = 0.5
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Distillation:
    """What the student learns from the teacher (GSB Eq. 36)."""

    kind: Literal["hard", "soft", "none"] = "hard"
    weight: float = 0.5
    """Eq. 36's lambda: the share of the distillation loss."""
    temperature: float = 1.0
    """Softens both sides of soft distillation."""
    distribution: float = 0.0
    """Q-ViT students: share of the distribution-guided loss of queries and keys, added to the others (1 in the
    paper)."""
