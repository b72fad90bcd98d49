"""Binary self-attention of BinaryViT: signs of queries, keys and values, real-valued residuals around them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitvit.charge import SOFTMAX, Call, Charge
from bitvit.errors import UsageError
from bitvit.layers.binary_attention import ATTENTION_PARTS
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.facts import packed_child
from bitvit.layers.maps import average_pool, nearest_upsample
from bitvit.layers.packed import ops
from bitvit.layers.packed_attention import PackedAttentionCore
from bitvit.layers.react_linear import ReactLinear, ReactOptions
from bitvit.layers.rprelu import RPReLU
from bitvit.quantizers.clipped_mask import ClippedAttention
from bitvit.quantizers.estimator import AttentionEstimator, product_of


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """``[B, N, C] -> [B, H, N, D]``."""
    return torch.unflatten(x, -1, (num_heads, -1)).transpose(1, 2)


class AttentionCore(nn.Module):
    """Signs of q, k and v, softmax, quantized attention, product: everything between the projections.

    ``A = quantize(softmax(sign(q + s_q) sign(k + s_k)^T / sqrt(D)))``, ``y = A sign(v + s_v)``.

    Args:
        channels: C.
        num_heads: H, a divisor of C.
        attention: estimator of the attention probabilities.
        options: shared choices of the network.

    Shape: q ``[B, N, C]``, k and v ``[B, M, C]`` -> ``[B, N, C]``.
    """

    real_parts = ATTENTION_PARTS

    def __init__(self, channels: int, num_heads: int, attention: AttentionEstimator, options: ReactOptions) -> None:
        super().__init__()
        if channels % num_heads:
            raise UsageError(f"{channels} channels cannot be split into {num_heads} heads")
        self.num_heads = num_heads
        self.head_dim = channels // num_heads
        self.query = options.make_sign(channels)
        self.key = options.make_sign(channels)
        self.value = options.make_sign(channels)
        self.attention = attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend."""
        (query, query_scale), (key, key_scale) = self.query(query), self.key(key)
        value, value_scale = self.value(value)
        q, k, v = (split_heads(x, self.num_heads) for x in (query, key, value))
        # Scores decide thresholds: autocast must not round them.
        with torch.autocast(query.device.type, enabled=False):
            scores = q @ k.transpose(-2, -1) * product_of(self.head_dim**-0.5, query_scale, key_scale)
            levels, attention_scale = self.attention(torch.softmax(scores, dim=-1))
        y: Tensor = levels @ v
        scale = product_of(attention_scale, value_scale)
        return (y if scale is None else y * scale).transpose(1, 2).flatten(2)

    def charge(self, call: Call) -> Charge:
        """Scores, softmax, and one binary product with V for each plane of the attention."""
        batch, queries, channels = call.input
        pairs = batch * queries * call.inputs[1][1]
        softmax = SOFTMAX * pairs * self.num_heads
        if not self.attention.enabled:
            return Charge(flops=2 * pairs * channels, other_flops=softmax)
        planes = self.attention.planes * self.value.planes
        return Charge(pairs * channels * (1 + planes), 0, softmax + call.elements_out)

    def float_twin(self) -> nn.Module:
        """Return full-precision attention of as many heads."""
        return FloatAttentionCore(self.num_heads)

    def packed(self) -> nn.Module:
        """Return the attention on bits."""
        return PackedAttentionCore(self.num_heads, self.head_dim, self.query, self.key, self.attention, self.value)


class FloatAttentionCore(nn.Module):
    """`AttentionCore` in full precision: ``y = softmax(q k^T / sqrt(D)) v``."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend."""
        q, k, v = (split_heads(x, self.num_heads) for x in (query, key, value))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def charge(self, call: Call) -> Charge:
        """Scores, softmax and the product with V."""
        batch, queries, channels = call.input
        pairs = batch * queries * call.inputs[1][1]
        return Charge(flops=2 * pairs * channels, other_flops=SOFTMAX * pairs * self.num_heads)


class AttentionUnits(nn.Module):
    """What the attention of BinaryViT and that of BHViT are both made of.

    ``q, k, v = unit(..)``; ``context = norm(attend(q, k, v))``; ``affine(unit(rprelu(..)))``. Units are `ReactLinear`.

    Args:
        channels: C.
        num_heads: H.
        attention: estimator of the attention probabilities.
        options: shared choices of the network.
        affine: scale and shift the output (initially 0.1).
    """

    def __init__(
        self, channels: int, num_heads: int, attention: AttentionEstimator, options: ReactOptions, affine: bool
    ) -> None:
        super().__init__()
        self.query = ReactLinear(channels, channels, options)
        self.key = ReactLinear(channels, channels, options)
        self.value = ReactLinear(channels, channels, options)
        self.core = AttentionCore(channels, num_heads, attention, options)
        self.norm = options.make_norm(channels)
        self.activation = RPReLU(channels)
        self.output = ReactLinear(channels, channels, options)
        self.affine: nn.Module = ChannelAffine(channels, 0.1) if affine else nn.Identity()


class PackedAttentionUnits(nn.Module):
    """Packed `AttentionUnits`."""

    def __init__(self, layer: AttentionUnits) -> None:
        super().__init__()
        self.query = packed_child(layer.query)
        self.key = packed_child(layer.key)
        self.value = packed_child(layer.value)
        self.core = packed_child(layer.core)
        self.norm = packed_child(layer.norm)
        self.activation = packed_child(layer.activation)
        self.output = packed_child(layer.output)
        self.affine = packed_child(layer.affine)


class ReactAttention(AttentionUnits):
    """Binary self-attention, with keys and values from average-pooled tokens where ``reduction > 1``.

    With ``u = h`` or, reduced, ``u = unit(pool_{r x r}(h))``: ``q = unit(h)``, ``k = unit(u)``, ``v = unit(u)`` (units
    are `ReactLinear`); ``o = rprelu(norm(attend(q, k, v)) + q + up(k) + up(v))`` with nearest upsampling ``up``; output
    ``affine(unit(o))``.

    Args:
        channels: C.
        num_heads: H.
        reduction: r; the map's height and width must be multiples of it.
        attention: estimator of the attention probabilities, by default `ClippedAttention`.
        affine: scale and shift the output (initially 0.1).
        options: shared choices of the network.

    Shape: tokens ``[B, N, C]`` and the size of their map ``(h, w)``; N may exceed ``h w`` by class tokens at the front
    when ``reduction`` is 1. -> ``[B, N, C]``.

    Source: docs/models.md, sections 3 and 4.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        options: ReactOptions,
        *,
        reduction: int = 1,
        attention: AttentionEstimator | None = None,
        affine: bool = True,
    ) -> None:
        # Made before the others: the order in which random weights are drawn decides what a seed gives.
        reduce = ReactLinear(channels, channels, options) if reduction > 1 else None
        super().__init__(channels, num_heads, ClippedAttention() if attention is None else attention, options, affine)
        self.reduction = reduction
        self.reduce = reduce

    def _upsample(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        r = self.reduction
        small = torch.unflatten(x, 1, (size[0] // r, size[1] // r))
        return nearest_upsample(small, size).flatten(1, 2)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Attend among the tokens of a map of the given size."""
        source = x
        if self.reduce is not None:
            r = self.reduction
            pooled = average_pool(torch.unflatten(x, 1, size), (r, r), (r, r), (0, 0))
            source = self.reduce(pooled.flatten(1, 2))
        query, key, value = self.query(x), self.key(source), self.value(source)
        context = self.norm(self.core(query, key, value))
        if self.reduce is not None:
            key, value = self._upsample(key, size), self._upsample(value, size)
        result: Tensor = self.affine(self.output(self.activation(context + query + key + value)))
        return result

    def charge(self, call: Call) -> Charge:
        """The sum of context, q, k and v, and the average pooling before reduced keys and values."""
        return Charge(other_flops=3 * call.elements_out + (call.elements_in if self.reduction > 1 else 0))

    def packed(self) -> nn.Module:
        """Return the layer on bits."""
        return PackedReactAttention(self)


class PackedReactAttention(PackedAttentionUnits):
    """Packed `ReactAttention`: tokens `[B,N,C]` and the size of their map -> `[B,N,C]`."""

    def __init__(self, layer: ReactAttention) -> None:
        super().__init__(layer)
        self.reduction = layer.reduction
        self.reduce = packed_child(layer.reduce) if layer.reduce is not None else None

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map tokens, float32 ``[B, N, C]``, of a map of ``size`` (height, width) to tokens of that shape."""
        source = x
        if self.reduce is not None:
            source = self.reduce(ops.pool(x, list(size), "average", self.reduction, self.reduction, 0))
        query, key, value = self.query(x), self.key(source), self.value(source)
        context = self.norm(self.core(query, key, value))
        if self.reduce is not None:
            small = [n // self.reduction for n in size]
            key, value = ops.upsample(key, small, self.reduction), ops.upsample(value, small, self.reduction)
        result: Tensor = self.affine(self.output(self.activation(context + query + key + value)))
        return result
