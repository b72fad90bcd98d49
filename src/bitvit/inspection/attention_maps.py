"""Where a network looks: attention of the last layer over the image, in full precision and in binary forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.inspection.distributions import THRESHOLD, eq8_undefined
from bitvit.inspection.inspected_run import InspectedRun
from bitvit.inspection.taps import attention_layers, tap_attention
from bitvit.quantizers.xnor_attention import attention_gamma


@dataclass(frozen=True)
class AttentionMaps:
    """Maps of several images.

    Attributes:
        layer: the student's layer.
        seen_by: whose attention is shown.
        columns: names of the forms.
        maps: for each of them `[B, h, w]`, each map with the largest value 1 (or all 0).
        empty: for each form the share of maps without any attention.
    """

    layer: str
    seen_by: str
    columns: tuple[str, ...]
    maps: tuple[Tensor, ...]
    empty: tuple[float, ...]


def attention_maps(inspected: InspectedRun, count: int) -> AttentionMaps:
    """Return attention maps of the first images.

    Of a network with class tokens, what the class token attends to; of one without, what all tokens together attend to;
    the mean over heads.

    Raises:
        UsageError: the last attention layer does not look at the whole image (window attention), or at one token only.
    """
    images = inspected.images[:count]
    layer = attention_layers(inspected.student)[-1]
    values = tap_attention(inspected.student, layer, images)
    assert values.binary is not None
    classes = _prefix_tokens(inspected.student)
    tokens = values.real.shape[-1] - classes
    side = math.isqrt(tokens)
    if side * side != tokens or len(values.real) != len(images):
        raise UsageError(f"{layer} attends inside windows and to summaries, not over the whole image")
    if side == 1:
        raise UsageError(f"{layer} sees the whole image as one token")
    columns: list[str] = []
    maps: list[Tensor] = []

    def add(name: str, attention: Tensor, prefix: int) -> None:
        columns.append(name)
        maps.append(_map(attention, prefix))

    teacher = inspected.teacher
    if teacher is not None and attention_layers(teacher):
        tapped = tap_attention(teacher, attention_layers(teacher)[-1], images).real
        prefix = _prefix_tokens(teacher)
        if math.isqrt(tapped.shape[-1] - prefix) ** 2 == tapped.shape[-1] - prefix:
            add("full precision (teacher)", tapped, prefix)
    add("student before binarization", values.real, classes)
    for name, phase in (("baseline, Eq. 2", 1), ("baseline, Eq. 8", 2)):
        ones = (values.real / attention_gamma(values.real, phase, patches=0) > THRESHOLD).float()
        if phase == 2:  # without a factor nothing is scaled, and everything rounds to 0
            ones[eq8_undefined(values.real)] = 0
        add(name, ones, classes)
    add("student as it runs", values.binary, classes)
    scaled, empty = zip(*(_scaled(item) for item in maps), strict=True)
    seen_by = "class token" if classes else "all tokens"
    return AttentionMaps(layer, seen_by, tuple(columns), tuple(scaled), tuple(empty))


def _prefix_tokens(model: nn.Module) -> int:
    """How many class tokens come before the patches."""
    if hasattr(model, "num_prefix_tokens"):
        return int(cast(int, model.num_prefix_tokens))
    return int(getattr(model, "class_token", None) is not None)


def _map(attention: Tensor, prefix: int) -> Tensor:
    """`[B, H, N, M]` -> `[B, h, w]`: the class token's row (or the mean of all rows), the mean of the heads."""
    rows = attention[:, :, 0] if prefix else attention.mean(dim=2)
    patches = rows.mean(dim=1)[:, prefix:]
    side = math.isqrt(patches.shape[-1])
    return torch.unflatten(patches, 1, (side, side))


def _scaled(maps: Tensor) -> tuple[Tensor, float]:
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return maps / largest.clamp_min(1e-12), float((largest <= 0).float().mean())
