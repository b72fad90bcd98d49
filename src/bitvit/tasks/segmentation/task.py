"""Segmentation as a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from bitvit.program import Preprocessing
from bitvit.runtime.label_maps import nearest_resize
from bitvit.tasks.segmentation.evaluation import SegmentationEvaluation, SegmentationScorer, label_maps
from bitvit.tasks.segmentation.settings import SegmentationSettings
from bitvit.tasks.task import Classes, DefaultRecipe, Evaluation, Metric, Task

if TYPE_CHECKING:
    from PIL import Image

    from bitvit.tasks.objective import Objective, ObjectivePlan

__all__ = ["Segmentation"]


class Segmentation(Task):
    """One class for each pixel.

    A target is a mask uint8 `[h,w]` of the photo's own size (255 is ignored), an output are scores `[B,classes,H,W]`,
    or of a packed file the classes themselves `[B,H W]`.
    """

    name = "segmentation"
    metrics = (Metric("miou", "mIoU"), Metric("pixel_accuracy", "pixel accuracy"))
    settings = SegmentationSettings
    recipes = (
        DefaultRecipe("seg-micro", 64, largest_side=128),
        DefaultRecipe("bhvit-segmentation", 448),
    )
    is_for_pixels = True
    draws_examples = True

    def scorer(self, classes: Classes, preprocessing: Preprocessing) -> SegmentationScorer:
        """Return a fresh scorer."""
        return SegmentationScorer(classes.labels, preprocessing.image_size)

    def evaluation(self, content: Mapping[str, Any]) -> SegmentationEvaluation:
        """Return the evaluation whose `to_dict` is `content`."""
        return SegmentationEvaluation.from_dict(content)

    def decisions(self, output: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the class of every pixel, `[B,H W]`."""
        decided = output.argmax(axis=1) if output.ndim == 4 else output
        return decided.reshape(len(output), -1).astype(np.int64)

    def describe_target(self, target: Any, classes: Classes) -> str:
        """Return the names of the classes that the mask holds."""
        return ", ".join(classes.labels[int(index)] for index in np.unique(target) if index < len(classes.labels))

    def objective(self, plan: ObjectivePlan) -> Objective:
        """Return cross entropy of the pixels with masks and teacher."""
        from bitvit.tasks.segmentation.objective import SegmentationObjective

        return SegmentationObjective(plan)

    def figures(self, evaluation: Evaluation, classes: Classes) -> dict[str, bytes]:
        """Return the confusion matrix."""
        from bitvit.tasks.classification.figures import draw_confusion_matrix

        found = cast(SegmentationEvaluation, evaluation)
        return {"confusion.png": draw_confusion_matrix(found.confusion, classes.labels)}

    def example_figures(
        self, photos: Sequence[Image.Image], targets: Sequence[Any], output: npt.NDArray[Any], classes: Classes
    ) -> dict[str, bytes]:
        """Return photos with their masks and the network's, at the photos' own sizes."""
        from bitvit.tasks.segmentation.figures import draw_label_maps

        decided = label_maps(output, (output.shape[2], output.shape[3]))
        resized = [
            nearest_resize(labels, (photo.height, photo.width)) for labels, photo in zip(decided, photos, strict=True)
        ]
        return {"masks.png": draw_label_maps(photos, {"mask": list(targets), "prediction": resized}, classes)}
