"""Training: recipes, the two-stage schedule with distillation, checkpoints, evaluation. Built on Lightning and timm."""

from __future__ import annotations

from bitvit.training.checkpoint import CheckpointInfo, load_checkpoint, read_info, save_checkpoint
from bitvit.training.errors import CheckpointError, RecipeError, TrainingError, TrainingInterrupted
from bitvit.training.evaluation import Evaluation, evaluate, evaluate_logits
from bitvit.training.history import EpochRecord
from bitvit.training.importing import ImportedCheckpoint, import_checkpoint
from bitvit.training.recipe import Recipe, packaged_recipes
from bitvit.training.report import PhaseResult, TrainingReport
from bitvit.training.run import data_of, train

__all__ = [
    "CheckpointError",
    "CheckpointInfo",
    "EpochRecord",
    "Evaluation",
    "ImportedCheckpoint",
    "PhaseResult",
    "Recipe",
    "RecipeError",
    "TrainingError",
    "TrainingInterrupted",
    "TrainingReport",
    "data_of",
    "evaluate",
    "evaluate_logits",
    "import_checkpoint",
    "load_checkpoint",
    "packaged_recipes",
    "read_info",
    "save_checkpoint",
    "train",
]
