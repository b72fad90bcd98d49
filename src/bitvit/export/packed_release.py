"""What the GSB release's layers need beside the packed twins that they share with `bitvit.layers`."""

from __future__ import annotations

from torch import nn

from bitvit.export.errors import ExportError
from bitvit.export.packed_layers import pack_layer
from bitvit.models.reference.gsb_layers import ClippedGelu, ReleaseMlp

_CLIP = 10.0


@pack_layer.register
def _(layer: ReleaseMlp) -> nn.Module | None:
    """The clip at 10 changes no bit as long as every threshold of fc2 lies below it."""
    threshold = 0.5 * layer.fc2.input_scale - layer.fc2.input_shift
    if bool((threshold >= _CLIP).any()):
        raise ExportError(
            "a threshold of fc2 lies beyond the clip of the GELU before it: this checkpoint cannot be packed"
        )
    return None


@pack_layer.register
def _(layer: ClippedGelu) -> nn.Module:
    return nn.GELU()
