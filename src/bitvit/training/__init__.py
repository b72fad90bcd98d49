"""Training: recipes, the two-stage schedule with distillation, evaluation. Built on Lightning and timm."""

from __future__ import annotations

from bitvit.training.errors import RecipeError, TrainingError, TrainingInterrupted
from bitvit.training.evaluation import evaluate
from bitvit.training.history import EpochRecord
from bitvit.training.recipe import Recipe, packaged_recipes
from bitvit.training.recipe_choice import RecipeChoice, choose_recipe
from bitvit.training.report import PhaseResult, TrainingReport
from bitvit.training.run import Run, is_first_process, train
from bitvit.training.run_data import data_of

__all__ = [
    "EpochRecord",
    "PhaseResult",
    "Recipe",
    "RecipeChoice",
    "RecipeError",
    "Run",
    "TrainingError",
    "TrainingInterrupted",
    "TrainingReport",
    "choose_recipe",
    "data_of",
    "evaluate",
    "is_first_process",
    "packaged_recipes",
    "train",
]
