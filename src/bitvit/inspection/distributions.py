"""How attention values are distributed before and after binarization (GSB Fig. 4 and 6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bitvit.inspection.taps import AttentionValues
from bitvit.quantizers.xnor_attention import attention_gamma

BINS = 60
THRESHOLD = 0.5


def distribution(values: AttentionValues) -> dict[str, Any]:
    """Describe one layer's attention.

    Returns:
        `real` (histogram of A_re), `eq8` and `eq2` (of A_re divided by the factor of that equation; `share_of_ones` is
        what `round` and `clip` make 1, `empty_rows` the share of rows that become 0 altogether), and `binary` (the
        levels that the network itself puts in the place of A_re, the most frequent first, and its `empty_rows`; absent
        for a full-precision layer). `eq8_undefined` is the share of images without a value above 0.5: they have no
        factor of Eq. 8 and are left out of `eq8`, which is None where nothing is left.
    """
    real = values.real
    undefined = eq8_undefined(real)
    document: dict[str, Any] = {
        "layer": values.layer,
        "images": len(real),
        "real": {
            **_histogram(real),
            "mean": float(real.mean()),
            "largest": float(real.max()),
            "above_half": float((real > THRESHOLD).float().mean()),
        },
        "eq8_undefined": float(undefined.float().mean()),
        "eq8": _scaled(real[~undefined], 2) if not bool(undefined.all()) else None,
        "eq2": _scaled(real, 1),
    }
    if values.binary is not None:
        document["binary"] = _levels(values.binary)
    return document


def eq8_undefined(real: Tensor) -> Tensor:
    """Tell for each image of A_re `[B, H, N, M]` whether no value exceeds 0.5, so that Eq. 8 has nothing to average."""
    return real.amax(dim=(1, 2, 3)) <= THRESHOLD


def _scaled(real: Tensor, phase: int) -> dict[str, Any]:
    scaled = real / attention_gamma(real, phase, patches=0)
    ones = scaled > THRESHOLD
    return {
        **_histogram(scaled),
        "share_of_ones": float(ones.float().mean()),
        "empty_rows": float((~ones.any(dim=-1)).float().mean()),
    }


def _histogram(values: Tensor) -> dict[str, Any]:
    top = float(values.max()) or 1.0
    counts = torch.histc(values.flatten(), BINS, min=0.0, max=top)
    return {"edges_to": top, "shares": (counts / values.numel()).tolist()}


def _levels(binary: Tensor) -> dict[str, Any]:
    levels, counts = torch.unique((binary * 1e5).round() / 1e5, return_counts=True)
    order = counts.argsort(descending=True)[:16]
    return {
        "levels": [
            {"value": float(levels[index]), "share": float(counts[index]) / binary.numel()} for index in order.tolist()
        ],
        "number_of_levels": len(levels),
        "empty_rows": float((binary == 0).all(dim=-1).float().mean()),
    }
