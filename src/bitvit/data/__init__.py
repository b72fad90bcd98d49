"""Labelled images by name: bundled and published data sets, and the user's own. Needs no PyTorch, no network."""

from __future__ import annotations

from bitvit.data.build import DATA_NAMES, build_data
from bitvit.data.errors import DataError
from bitvit.data.image_set import Data, ImageSet

__all__ = ["DATA_NAMES", "Data", "DataError", "ImageSet", "build_data"]
