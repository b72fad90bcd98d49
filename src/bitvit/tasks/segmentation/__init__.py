"""One class for each pixel."""

from __future__ import annotations

from bitvit.tasks.segmentation.evaluation import SegmentationEvaluation, SegmentationScorer
from bitvit.tasks.segmentation.settings import SegmentationSettings
from bitvit.tasks.segmentation.task import Segmentation

__all__ = ["TASK", "Segmentation", "SegmentationEvaluation", "SegmentationScorer", "SegmentationSettings"]

TASK = Segmentation()
