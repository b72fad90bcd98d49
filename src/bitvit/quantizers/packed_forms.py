"""What estimators say of their packed form: plain data, which layers turn into packed modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Rules = list[list[str | float]]


@dataclass(frozen=True)
class InputBits:
    """An activation as bits: sign bits ``-1 where x < threshold``, or mask bits ``1 where x > threshold``.

    Attributes:
        kind: ``"sign"`` for {-1, +1}, ``"mask"`` for {0, 1}.
        threshold: float64, one value or one per channel; None compares with the statistics of each image (its mean; for
            masks, its mean plus half its mean magnitude).
        scale: factor of the bits, positive; None leaves them unscaled.
        scaled_by_image: the factor is each image's mean magnitude.
    """

    kind: Literal["sign", "mask"]
    threshold: Tensor | None
    scale: Tensor | None = None
    scaled_by_image: bool = False


@dataclass(frozen=True)
class InputCodes:
    """An activation as 8-bit codes ``clamp(round((x + shift) / step), -128, 127)``.

    Attributes:
        shift: one value per channel.
        step: positive scalar.
    """

    shift: Tensor
    step: Tensor


@dataclass(frozen=True)
class MaskPlanes:
    """Attention as a sum of factors times {0, 1} masks: `attention_masks` and `value_product` of docs/format.md.

    Exclusive bands and signs become sums of nested masks with other factors.

    Attributes:
        rules: one rule a plane.
        factors: float64 ``[P, H]``, the factor of each plane.
        thresholds: float64 ``[P, H]``, or None where no rule needs them.
        offset: Phi as stored: None, float32 ``[H, N]`` or ``[H, N, M]``, or int8 ``[H, N, M]``.
        offset_scale: float32 ``[H]`` where the offset is int8, else None.
    """

    rules: Rules
    factors: Tensor
    thresholds: Tensor | None
    offset: Tensor | None = None
    offset_scale: Tensor | None = None


@dataclass(frozen=True)
class StatisticMasks:
    """Attention as one mask with a factor from each image (`attention_masks_statistics` in docs/format.md).

    Attributes:
        phase: 1 or 2.
        patches: number of image patches.
    """

    phase: int
    patches: int


@dataclass(frozen=True)
class ValuePlanes:
    """Values as ternary planes (`value_planes` in docs/format.md).

    Attributes:
        shift: added to the values first, ``[C]``; None for no shift.
        scales: one for each plane, the plane of signs first.
        factors: of the extremes of one image, one for each further plane; or of `thresholds`.
        thresholds: of magnitudes, ``[P - 1, H]``, in place of an image's extremes.
        by_image: translation and scale are the statistics of each image.
    """

    shift: Tensor | None
    scales: Tensor = field(default_factory=lambda: torch.ones(1))
    factors: list[float] = field(default_factory=list)
    by_image: bool = False
    thresholds: Tensor | None = None


def for_each_head(values: list[float], num_heads: int) -> Tensor:
    """Return one value a plane, the same for all heads: float64 ``[P, H]``."""
    return torch.tensor(values, dtype=torch.float64)[:, None].expand(-1, num_heads)


def first_threshold(factors: Tensor, threshold: float) -> Tensor:
    """Return thresholds ``[P, H]`` of which only the first plane's is used."""
    thresholds = torch.zeros_like(factors)
    thresholds[0] = threshold
    return thresholds
