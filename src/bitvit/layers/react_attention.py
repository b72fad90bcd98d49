"""Binary self-attention of BinaryViT: signs of queries, keys and values, real-valued residuals around them."""

import math

import torch
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.attention_quantizers import AttentionQuantizerKind, make_attention_quantizer
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.maps import average_pool, nearest_upsample
from bitvit.layers.react_linear import ReactLinear, ReactOptions
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.shifted_sign import ShiftedSign


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """``[B, N, C] -> [B, H, N, D]``."""
    return torch.unflatten(x, -1, (num_heads, -1)).transpose(1, 2)


class AttentionCore(nn.Module):
    """Signs of q, k and v, softmax, quantized attention, product: everything between the projections.

    ``A = quantize(softmax(sign(q + s_q) sign(k + s_k)^T / sqrt(D)))``, ``y = A sign(v + s_v)``.

    Args:
        channels: C. num_heads: H, a divisor of C.
        quantizer: how attention becomes bits.
        options: shared choices of the network.

    Shape: q ``[B, N, C]``, k and v ``[B, M, C]`` -> ``[B, N, C]``.
    """

    def __init__(self, channels: int, num_heads: int, quantizer: AttentionQuantizerKind, options: ReactOptions) -> None:
        super().__init__()
        if channels % num_heads:
            raise UsageError(f"{channels} channels cannot be split into {num_heads} heads")
        self.num_heads = num_heads
        self.head_dim = channels // num_heads
        self.query_sign = ShiftedSign(channels, options.sign_of_zero)
        self.key_sign = ShiftedSign(channels, options.sign_of_zero)
        self.value_sign = ShiftedSign(channels, options.sign_of_zero)
        self.quantizer = make_attention_quantizer(quantizer, num_heads)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend."""
        q = split_heads(self.query_sign(query), self.num_heads)
        k = split_heads(self.key_sign(key), self.num_heads)
        v = split_heads(self.value_sign(value), self.num_heads)
        # Scores decide thresholds: autocast must not round them.
        with torch.autocast(query.device.type, enabled=False):
            scores = q @ k.transpose(-2, -1) / math.sqrt(self.head_dim)
            levels, scale = self.quantizer(torch.softmax(scores, dim=-1))
        y: Tensor = (levels @ v * scale).transpose(1, 2).flatten(2)
        return y


class ReactAttention(nn.Module):
    """Binary self-attention, with keys and values from average-pooled tokens where ``reduction > 1``.

    With ``u = h`` or, reduced, ``u = unit(pool_{r x r}(h))``: ``q = unit(h)``, ``k = unit(u)``, ``v = unit(u)`` (units
    are `ReactLinear`); ``o = rprelu(norm(attend(q, k, v)) + q + up(k) + up(v))`` with nearest upsampling ``up``; output
    ``affine(unit(o))``.

    Args:
        channels: C. num_heads: H.
        reduction: r; the map's height and width must be multiples of it.
        quantizer: how attention becomes bits.
        affine: scale and shift the output (initially 0.1).
        options: shared choices of the network.

    Shape: tokens ``[B, N, C]`` and the size of their map ``(h, w)``; N may exceed ``h w`` by class tokens at the front
    when ``reduction`` is 1. -> ``[B, N, C]``.

    Source: MODELS sections 3 and 4.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        options: ReactOptions,
        *,
        reduction: int = 1,
        quantizer: AttentionQuantizerKind = "clipped",
        affine: bool = True,
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.reduce = ReactLinear(channels, channels, options) if reduction > 1 else None
        self.query = ReactLinear(channels, channels, options)
        self.key = ReactLinear(channels, channels, options)
        self.value = ReactLinear(channels, channels, options)
        self.core = AttentionCore(channels, num_heads, quantizer, options)
        self.norm = options.make_norm(channels)
        self.activation = RPReLU(channels)
        self.output = ReactLinear(channels, channels, options)
        self.affine: nn.Module = ChannelAffine(channels, 0.1) if affine else nn.Identity()

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
