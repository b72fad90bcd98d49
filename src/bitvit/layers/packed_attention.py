"""Everything between the projections of a binary attention layer, on bits."""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from bitvit.errors import ExportError
from bitvit.layers.packed import PackedBits, exponential_table, ops
from bitvit.quantizers.estimator import ActivationEstimator, AttentionEstimator, ValueEstimator
from bitvit.quantizers.packed_forms import MaskPlanes


class PackedAttentionCore(nn.Module):
    """Attention on bits: q `[B,W N,C]`, k and v `[B,W M,C]` -> `[B,W N,C]`, W windows that attend each on their own.

    Args:
        num_heads: heads H.
        head_dim: channels of a head D.
        query: estimator of the queries.
        key: estimator of the keys.
        attention: estimator of the probabilities.
        value: estimator of the values.
        shifts_values: add the value estimator's shift here; False where a projection's bias holds it.
    """

    query: PackedBits
    key: PackedBits
    table: Tensor
    value_shift: Tensor | None
    offset: Tensor | None
    offset_scale: Tensor | None
    thresholds: Tensor | None
    value_thresholds: Tensor | None
    row_scale: Tensor

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        query: ActivationEstimator,
        key: ActivationEstimator,
        attention: AttentionEstimator,
        value: ValueEstimator | ActivationEstimator,
        *,
        shifts_values: bool = True,
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, head_dim
        score_scale = head_dim**-0.5
        for name, estimator in (("query", query), ("key", key)):
            form = estimator.packed_bits()
            if form.kind != "sign" or form.scaled_by_image:
                raise ExportError(
                    f"{type(estimator).__name__} cannot binarize the {name}: the engine takes plain signs"
                )
            score_scale *= 1.0 if form.scale is None else float(form.scale)
            self.add_module(name, PackedBits(form, num_heads * head_dim, num_heads))
        self.register_buffer("table", exponential_table(head_dim, score_scale))
        masks = attention.mask_planes(num_heads)
        planes = masks if isinstance(masks, MaskPlanes) else None
        self.statistics = None if isinstance(masks, MaskPlanes) else (masks.phase, masks.patches)
        self.planes = json.dumps(planes.rules if planes else [])
        for name in ("offset", "offset_scale", "thresholds"):
            self.register_buffer(name, getattr(planes, name, None))
        if self.thresholds is not None:
            self.thresholds = self.thresholds.float()
        factors = planes.factors.float() if planes else torch.ones(1, num_heads)
        self.register_buffer("row_scale", factors.contiguous())
        values = value.value_planes()
        shift = values.shift if shifts_values else None
        self.register_buffer("value_shift", None if shift is None else shift.float())
        self.factors, self.values_by_image = values.factors, values.by_image
        self.register_buffer("scales", values.scales.float().clone())
        limits = values.thresholds
        self.register_buffer("value_thresholds", None if limits is None else limits.float().contiguous())

    def forward(self, query: Tensor, key: Tensor, value: Tensor, windows: int = 1) -> Tensor:
        """Attend: q ``[B, W N, C]``, k and v ``[B, W M, C]``, float32, to ``[B, W N, C]``.

        Args:
            query: before its signs are taken.
            key: likewise.
            value: likewise.
            windows: number W of windows, each of which attends on its own.

        Raises:
            ExportError: there are several windows, and the estimators need statistics of the image or an offset.
        """
        (q, _), (k, _) = self.query(query), self.key(key)
        v = value if self.value_shift is None else value + self.value_shift
        thresholds, row_scale, limits = self.thresholds, self.row_scale, self.value_thresholds
        if windows > 1:  # each window of each head attends on its own: windows become heads
            if self.statistics is not None or self.values_by_image or self.offset is not None:
                raise ExportError("attention in windows takes no statistics of images and no offset in its packed form")
            q = ops.windows_to_heads_sign(q, windows, self.head_dim)
            k = ops.windows_to_heads_sign(k, windows, self.head_dim)
            v = ops.windows_to_heads(v, windows)
            thresholds = None if thresholds is None else thresholds.repeat(1, windows)
            row_scale = row_scale.repeat(1, windows)
            limits = None if limits is None else limits.repeat(1, windows)
        value_stats = ops.statistics(v) if self.values_by_image else None
        gamma = None
        if self.statistics is None:
            masks = ops.attention_masks(
                q, k, self.table, self.offset, self.offset_scale, thresholds, self.head_dim, self.planes
            )
        else:
            masks, gamma = ops.attention_masks_statistics(q, k, self.table, self.head_dim, *self.statistics)
        planes = ops.value_planes(v, value_stats, self.factors, self.num_heads * windows, limits)
        y: Tensor = ops.value_product(masks, planes, row_scale, self.scales, value.shape[1] // windows)
        if gamma is not None:
            y = ops.scale_by(y, gamma, 0)
        if value_stats is not None:
            y = ops.scale_by(y, value_stats, 1)
        return ops.heads_to_windows(y, windows) if windows > 1 else y
