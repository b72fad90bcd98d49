"""Attention binarizers as mask planes: the rules, thresholds and factors of the operators that take bits of attention.

Every binarizer is a sum of factors times {0,1} masks; exclusive bands and signs become sums of nested masks with other
factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from bitvit import layers
from bitvit.export.errors import ExportError
from bitvit.layers.attention_quantizers import BandedMaskQuantizer, ClippedMaskQuantizer, DecomposedQuantizer
from bitvit.models.reference.gsb_layers import ReleaseAttentionBinarizer
from bitvit.quantizers.banded_mask import BAND_FACTORS
from bitvit.quantizers.decomposition import LEVELS

Rules = list[list[str | float]]

_ABOVE_ANY_PROBABILITY = 2.0


@dataclass
class MaskPlanes:
    """What `attention_masks` and `value_product` (docs/format.md) need of an attention binarizer.

    Attributes:
        rules: one rule a plane.
        factors: float64 `[P,H]`, the factor of each plane.
        thresholds: float64 `[P,H]`, or None where no rule needs them.
        offset, offset_scale: Phi as stored: nothing, float32 `[H,N]` or `[H,N,M]`, or int8 `[H,N,M]` and a scale a
        head.
    """

    rules: Rules
    factors: Tensor
    thresholds: Tensor | None
    offset: Tensor | None = None
    offset_scale: Tensor | None = None


@singledispatch
def mask_planes(layer: nn.Module, num_heads: int) -> MaskPlanes:
    """The planes of an attention binarizer.

    Raises:
        ExportError: it has no packed form.
    """
    raise ExportError(f"attention binarizer {type(layer).__name__} has no packed form")


def _a_head(values: list[float], num_heads: int) -> Tensor:
    """One value a plane, the same for all heads: float64 `[P,H]`."""
    return torch.tensor(values, dtype=torch.float64)[:, None].expand(-1, num_heads)


@mask_planes.register
def _(layer: layers.GsbAttentionBinarizer, num_heads: int) -> MaskPlanes:
    """GSB Eq. 9-13 and Tables V, VII and VIII.

    Type A with sign instead of round gives -1 and +1; as masks: `sign = 2 * 1{a_t >= 0} - 1`, the -1 on a plane of
    ones.
    """
    scales = layer.scales.detach().double().tolist()
    offset, offset_scale = _gsb_offset(layer, num_heads)
    extra: Rules = [["row_max", float(c)] for c in layer.factors]
    if layer.type_a == "sign":
        factors = _a_head([2.0 * scales[0], -scales[0], *scales[1:]], num_heads)
        rules: Rules = [["at_least"], ["ones"], *extra]
        return MaskPlanes(rules, factors, torch.zeros_like(factors), offset, offset_scale)
    factors = _a_head(scales, num_heads)
    if layer.base == "mask":
        return MaskPlanes([["row_max", 0.5], *extra], factors, None, offset, offset_scale)
    return MaskPlanes([["greater"], *extra], factors, _first_threshold(factors, 0.5 * scales[0]), offset, offset_scale)


@mask_planes.register
def _(layer: ReleaseAttentionBinarizer, num_heads: int) -> MaskPlanes:
    """The GSB release: masks relative to the maximum of the whole image."""
    scales = layer.scales.detach().double().tolist()
    factors = _a_head(scales, num_heads)
    rules: Rules = [["greater"]]
    rules += [["image_max", float(c)] for c in layer.factors]
    return MaskPlanes(rules, factors, _first_threshold(factors, 0.5 * scales[0]), layer.offset.detach().float())


@mask_planes.register
def _(layer: ClippedMaskQuantizer, num_heads: int) -> MaskPlanes:
    """`1{p / clip > 0.5}`; no probability passes where clip was trained to 0 or below."""
    clip = float(layer.clip.detach())
    factors = _a_head([clip], num_heads)
    threshold = 0.5 * clip if clip > 0 else _ABOVE_ANY_PROBABILITY
    return MaskPlanes([["greater"]], factors, _first_threshold(factors, threshold))


@mask_planes.register
def _(layer: DecomposedQuantizer, num_heads: int) -> MaskPlanes:
    """Level >= j of `round(3 p / a + z)`, half to even: 1.5 rounds up, 0.5 and 2.5 round down.

    Raises:
        ExportError: a step is not positive.
    """
    step, zero = layer.step.detach().double(), layer.zero_point.detach().double()
    if not bool((step > 0).all()):
        raise ExportError("an attention quantizer has a step that is not positive: train it further, or calibrate it")
    levels = torch.arange(1, LEVELS + 1, dtype=torch.float64)[:, None]
    rules: Rules = [["at_least"] if j % 2 == 0 else ["greater"] for j in range(1, LEVELS + 1)]
    return MaskPlanes(rules, step.expand(LEVELS, -1), (levels - 0.5 - zero) * step / LEVELS)


@mask_planes.register
def _(layer: BandedMaskQuantizer, num_heads: int) -> MaskPlanes:
    """The exclusive maps of `band_maps` are differences of nested masks, so their factors are differences too."""
    scale, lower, upper = (float(p.detach()) for p in (layer.scale, layer.lower, layer.upper))
    factors = _a_head([scale, scale * (lower - 1.0), scale * (upper - lower)], num_heads)
    threshold = 0.5 * scale if scale > 0 else _ABOVE_ANY_PROBABILITY
    rules: Rules = [["greater"]]
    rules += [["row_max", float(c)] for c in BAND_FACTORS]
    return MaskPlanes(rules, factors, _first_threshold(factors, threshold))


def _first_threshold(factors: Tensor, threshold: float) -> Tensor:
    thresholds = torch.zeros_like(factors)
    thresholds[0] = threshold
    return thresholds


def _gsb_offset(layer: layers.GsbAttentionBinarizer, num_heads: int) -> tuple[Tensor | None, Tensor | None]:
    """Phi of Eq. 9 as stored; an offset a row is stored in float32 whatever it was trained with."""
    if layer.offset_kind == "mean":
        return torch.full((num_heads, layer.num_tokens), 1.0 / layer.num_tokens), None
    if layer.offset is None:
        return None, None
    if layer.offset_bits == 8:
        quantized, scale = layer.integer_offset()
        scale = scale.detach().reshape(-1)
        if quantized.ndim == 2:
            return quantized.float() * scale[:, None], None
        return quantized.to(torch.int8), scale.float()
    return layer.offset.detach().float(), None
