"""Photos with masks: your own folders, published data sets, scenes for demos."""

from __future__ import annotations

from bitvit.data.segmentation.build import SEGMENTATION_NAMES, build_segmentation_data, is_segmentation
from bitvit.data.segmentation.classes import IGNORED
from bitvit.data.segmentation.scenes import compose_scenes, write_scenes
from bitvit.data.segmentation.segmentation_set import SegmentationSet

__all__ = [
    "IGNORED",
    "SEGMENTATION_NAMES",
    "SegmentationSet",
    "build_segmentation_data",
    "compose_scenes",
    "is_segmentation",
    "write_scenes",
]
