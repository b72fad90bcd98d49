"""Photos with masks: folders of one's own, published data sets, scenes for demos; and how good label maps are."""

from __future__ import annotations

from bitvit.data.segmentation.build import SEGMENTATION_NAMES, build_segmentation_data, is_segmentation
from bitvit.data.segmentation.classes import IGNORED
from bitvit.data.segmentation.evaluation import ConfusionMatrix, SegmentationEvaluation
from bitvit.data.segmentation.scenes import compose_scenes, write_scenes
from bitvit.data.segmentation.segmentation_set import SegmentationData, SegmentationSet

__all__ = [
    "IGNORED",
    "SEGMENTATION_NAMES",
    "ConfusionMatrix",
    "SegmentationData",
    "SegmentationEvaluation",
    "SegmentationSet",
    "build_segmentation_data",
    "compose_scenes",
    "is_segmentation",
    "write_scenes",
]
