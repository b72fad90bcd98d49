"""Cells of a patch side by side in one row."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def run_merge_patches(call: Call) -> tuple[AnyArray]:
    """Return each patch of the map as one row, its cells one after the other."""
    x, patch = call.map(), call.attrs["patch"]
    h, w, n_channels = x.shape
    tiles = x.reshape(h // patch, patch, w // patch, patch, n_channels).transpose(0, 2, 1, 3, 4)
    return (np.ascontiguousarray(tiles).reshape(call.outputs[0].shape),)
