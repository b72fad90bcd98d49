"""Classification as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from bitvit.program import Preprocessing
from bitvit.tasks.classification.evaluation import ClassificationEvaluation, ClassificationScorer
from bitvit.tasks.settings import TaskSettings
from bitvit.tasks.task import Classes, DefaultRecipe, Evaluation, Metric, Task

if TYPE_CHECKING:
    from bitvit.tasks.objective import Objective, ObjectivePlan

__all__ = ["Classification"]


class Classification(Task):
    """One class for each image: a target is its index, an output `[B,classes]` are logits."""

    name = "classification"
    metrics = (Metric("top1", "top-1"), Metric("top5", "top-5"), Metric("balanced_accuracy", "balanced accuracy"))
    settings = TaskSettings
    recipes = (
        DefaultRecipe("gsb-micro", 32, largest_side=48),
        DefaultRecipe("bhvit-micro-128", 128),
    )

    def scorer(self, classes: Classes, preprocessing: Preprocessing) -> ClassificationScorer:
        """Return a fresh scorer."""
        return ClassificationScorer(classes.labels)

    def evaluation(self, content: Mapping[str, Any]) -> ClassificationEvaluation:
        """Return the evaluation whose `to_dict` is `content`."""
        return ClassificationEvaluation.from_dict(content)

    def decisions(self, output: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the class of the largest logit, `[B]`."""
        classes: npt.NDArray[np.int64] = output.argmax(axis=1).astype(np.int64)
        return classes

    def describe_target(self, target: Any, classes: Classes) -> str:
        """Return the name of the class."""
        return classes.labels[int(target)]

    def objective(self, plan: ObjectivePlan) -> Objective:
        """Return cross entropy with labels and teacher, with timm's augmentation."""
        from bitvit.tasks.classification.objective import ClassificationObjective

        return ClassificationObjective(plan)

    def figures(self, evaluation: Evaluation, classes: Classes) -> dict[str, bytes]:
        """Return the confusion matrix."""
        from bitvit.tasks.classification.figures import draw_confusion_matrix

        found = cast(ClassificationEvaluation, evaluation)
        if found.confusion is None:
            return {}
        return {"confusion.png": draw_confusion_matrix(found.confusion, classes.labels)}
