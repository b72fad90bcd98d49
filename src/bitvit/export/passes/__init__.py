"""Passes over the traced graph, in the order in which `export_model` applies them.

Each is a function that changes a `Graph` in place.
"""

from bitvit.export.passes.fold_constants import fold_channel_constants
from bitvit.export.passes.fuse_norm_sign import fuse_norm_sign
from bitvit.export.passes.fuse_thresholds import fuse_thresholds
from bitvit.export.passes.prune_rows import prune_rows

PASSES = (fold_channel_constants, fuse_norm_sign, fuse_thresholds, prune_rows)

__all__ = ["PASSES", "fold_channel_constants", "fuse_norm_sign", "fuse_thresholds", "prune_rows"]
