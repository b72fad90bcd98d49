"""Labelled images by name: bundled and published data sets, and the user's own. Needs no PyTorch, no network."""

from __future__ import annotations

from bitvit.data.build import DATA_NAMES, EvaluationData, Part, build_data, build_evaluation, build_pool
from bitvit.data.checking import check_data, check_images
from bitvit.data.errors import DataError
from bitvit.data.files_digest import files_digest
from bitvit.data.image_set import Data, ImageSet
from bitvit.data.options import DataOptions

__all__ = [
    "DATA_NAMES",
    "Data",
    "DataError",
    "DataOptions",
    "EvaluationData",
    "ImageSet",
    "Part",
    "build_data",
    "build_evaluation",
    "build_pool",
    "check_data",
    "check_images",
    "files_digest",
]
