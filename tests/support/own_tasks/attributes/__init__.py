"""A task that bitvit does not know: several yes-or-no attributes for each image (multi-label classification)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.program import Preprocessing
from bitvit.tasks import Classes, DefaultRecipe, Evaluation, Metric, Scorer, Task, TaskSettings

__all__ = ["TASK"]


@dataclass(frozen=True)
class AttributeSettings(TaskSettings):
    """The recipe's section: `positive_weight` is the factor of attributes that are there."""

    name: str = "attributes"
    positive_weight: float = 1.0


@dataclass(frozen=True)
class AttributeEvaluation(Evaluation):
    """Share of right attributes, and mean binary cross entropy."""

    images: int
    right: float
    loss: float

    def metrics(self) -> dict[str, float]:
        return {"right": self.right}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        return [("right attributes", f"{self.right:.2%}")]

    def class_rows(self) -> list[tuple[str, str]]:
        return []


class AttributeScorer(Scorer):
    def __init__(self) -> None:
        self.sums = np.zeros(3)

    def add(self, output: npt.NDArray[Any], targets: Sequence[Any] | npt.NDArray[np.int64]) -> None:
        truth = np.stack([np.asarray(target) for target in targets])
        loss = np.logaddexp(0, output) - output * truth
        self.sums += [len(output), ((output > 0) == truth).mean(axis=1).sum(), loss.mean(axis=1).sum()]

    def result(self) -> AttributeEvaluation:
        images, right, loss = self.sums
        return AttributeEvaluation(int(images), float(right / images), float(loss / images))


class Attributes(Task):
    """Each output of `[B, attributes]` is the logit of one attribute."""

    name = "attributes"
    metrics = (Metric("right", "right attributes"),)
    settings = AttributeSettings
    recipes = (DefaultRecipe("gsb-micro", 32),)
    is_in_format = False

    def scorer(self, classes: Classes, preprocessing: Preprocessing) -> AttributeScorer:
        return AttributeScorer()

    def evaluation(self, content: Mapping[str, Any]) -> AttributeEvaluation:
        return AttributeEvaluation(**content)

    def decisions(self, output: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        decided: npt.NDArray[np.int64] = (output > 0).astype(np.int64)
        return decided

    def describe_target(self, target: Any, classes: Classes) -> str:
        return ", ".join(label for label, is_there in zip(classes.labels, target, strict=True) if is_there)

    def objective(self, plan: Any) -> Any:
        from tests.support.own_tasks.attributes.objective import AttributeObjective

        return AttributeObjective(plan)


TASK = Attributes()
