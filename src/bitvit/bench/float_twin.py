"""The full-precision network of the same architecture, as a baseline of the packed one in benchmarks."""

from __future__ import annotations

import copy

from torch import nn

from bitvit.bench.twin_folding import fold_norms
from bitvit.layers import to_full_precision


def float_twin(model: nn.Module) -> nn.Module:
    """Return a copy of a binary model with every binary or quantized layer replaced by its full-precision one.

    A layer's method ``float_twin()`` names it (`bitvit.layers.facts`). The twin of a binarized timm model has the
    modules of that timm model, so that other engines see the network they are tuned for. That of a BinaryViT or BHViT
    has its batch normalizations folded and calls torch's own attention.
    """
    twin = copy.deepcopy(model)
    to_full_precision(twin)
    twin.__class__ = getattr(type(twin), "float_form", type(twin))
    fold_norms(twin)
    return twin.eval()
