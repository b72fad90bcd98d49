"""Training: recipes, the two-stage schedule with distillation, evaluation. Built on Lightning and timm."""

from __future__ import annotations

from bitvit.training.errors import RecipeError, TrainingError, TrainingInterrupted
from bitvit.training.evaluation import Evaluation, evaluate, evaluate_logits
from bitvit.training.history import EpochRecord
from bitvit.training.recipe import Recipe, packaged_recipes
from bitvit.training.report import PhaseResult, TrainingReport
from bitvit.training.run import data_of, train

__all__ = [
    "EpochRecord",
    "Evaluation",
    "PhaseResult",
    "Recipe",
    "RecipeError",
    "TrainingError",
    "TrainingInterrupted",
    "TrainingReport",
    "data_of",
    "evaluate",
    "evaluate_logits",
    "packaged_recipes",
    "train",
]
