"""Tasks: what a network is for. Each is one package here, found by its name; importing them needs no PyTorch."""

from __future__ import annotations

from bitvit.tasks.registry import task_named, task_names
from bitvit.tasks.settings import Augmentation, Distillation, TaskSettings
from bitvit.tasks.task import Classes, DefaultRecipe, Doubt, Evaluation, Metric, Scorer, Task

__all__ = [
    "Augmentation",
    "Classes",
    "DefaultRecipe",
    "Distillation",
    "Doubt",
    "Evaluation",
    "Metric",
    "Scorer",
    "Task",
    "TaskSettings",
    "task_named",
    "task_names",
]
