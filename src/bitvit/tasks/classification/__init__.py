"""Classification: one class for each image."""

from __future__ import annotations

from bitvit.tasks.classification.evaluation import ClassificationEvaluation, evaluate_logits
from bitvit.tasks.classification.task import Classification

__all__ = ["TASK", "Classification", "ClassificationEvaluation", "evaluate_logits"]

TASK = Classification()
