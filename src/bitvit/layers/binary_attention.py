"""Multi-head self-attention on bits (GSB Fig. 8c, Eq. 7 and 35)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from bitvit.charge import SOFTMAX, Call, Charge
from bitvit.errors import ExportError
from bitvit.layers.facts import ATTENTION, QUERY_KEY, VALUE, RealParts
from bitvit.layers.gsb_linear import gsb_linear
from bitvit.layers.packed_attention import PackedAttentionCore
from bitvit.layers.quant_linear import QuantLinear, pack_binary_linear
from bitvit.quantizers.estimator import ActivationEstimator, AttentionEstimator, ValueEstimator, product_of
from bitvit.quantizers.learned_scale import LearnedSign

LinearFactory = Callable[[int, int, bool], nn.Module]
"""Makes a linear layer from input channels, output channels and whether it has a bias."""

ATTENTION_PARTS: RealParts = {ATTENTION: ("attention",), VALUE: ("value",), QUERY_KEY: ("query", "key")}
PLAIN_VALUE = 4  # the only component of a plain sign is charged like each component of GSB's values


class BinaryAttention(nn.Module):
    """Multi-head self-attention whose linear layers, queries, keys, attention and values are binary.

    A drop-in for timm's ``Attention``.

    ``Y = proj(A_b * V_b)`` with ``A_b = attention(softmax(Q_b K_b^T / sqrt(D)))``, ``V_b = value(V)``. With real
    activations (stage 1) only the weights are binary.

    Args:
        dim: channels C.
        num_heads: heads H; D = C/H.
        attention: estimator of the attention probabilities.
        value: estimator of V ``[B, H, N, D]``.
        query: estimator of queries ``[B, H, N, D]``; by default signs with a learned scale.
        key: estimator of keys ``[B, H, N, D]``; likewise.
        linear: makes the linear layers, by default `gsb_linear`.
        qkv_bias: a real-valued bias of queries, keys and values.
        proj_bias: a real-valued bias of the output.
        attn_drop: dropout rate on the attention.
        proj_drop: dropout rate on the output.

    Attributes:
        qkv: the linear layer of queries, keys and values, ``C -> 3 C``.
        proj: the linear layer of the output, ``C -> C``.

    Shape: ``[B, N, C]``, both.

    Source: GSB Eq. 7 (baseline) and Eq. 35.
    """

    real_parts = ATTENTION_PARTS

    def __init__(
        self,
        dim: int,
        num_heads: int,
        attention: AttentionEstimator,
        value: ValueEstimator | ActivationEstimator,
        *,
        query: ActivationEstimator | None = None,
        key: ActivationEstimator | None = None,
        linear: LinearFactory = gsb_linear,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"dim {dim} is not divisible by num_heads {num_heads}")
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        shape = (num_heads, 1, self.head_dim)
        self.qkv = linear(dim, 3 * dim, qkv_bias)
        self.query = LearnedSign(shape) if query is None else query
        self.key = LearnedSign(shape) if key is None else key
        self.attention = attention
        self.value = value
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = linear(dim, dim, proj_bias)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Map tokens ``[B, N, C]`` to tokens ``[B, N, C]``; masks are refused with a ValueError."""
        refuse_mask(attn_mask, is_causal)
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, query_scale = self.query(q)
        k, key_scale = self.key(k)
        # Scores decide thresholds: autocast must not round them.
        with torch.autocast(x.device.type, enabled=False):
            scores = (q @ k.transpose(-2, -1)) * product_of(self.head_dim**-0.5, query_scale, key_scale)
            probabilities = scores.softmax(dim=-1)
        levels, attention_scale = self.attention(probabilities)
        v, value_scale = self.value(v)
        y = self.attn_drop(levels) @ v
        scale = product_of(attention_scale, value_scale)
        y = (y if scale is None else y * scale).transpose(1, 2).reshape(batch, tokens, dim)
        projected: Tensor = self.proj_drop(self.proj(y))
        return projected

    def charge(self, call: Call) -> Charge:
        """Scores, softmax, and the product with V: one binary product for each pair of components (Eq. 35)."""
        _, tokens, channels = call.input
        pairs = self.attention.planes * self.value.planes
        product = tokens * tokens * channels
        other = SOFTMAX * tokens * tokens * self.num_heads + pairs * tokens * channels
        if not self.attention.enabled:
            return Charge(flops=2 * product, other_flops=other)
        scores_on_bits = self.query.bits == self.key.bits == 1
        values_on_bits = self.attention.bits == self.value.bits == 1
        plain = PLAIN_VALUE * tokens * channels if isinstance(self.value, ActivationEstimator) else 0
        return Charge(
            bops=product * (scores_on_bits + pairs * values_on_bits),
            flops=product * (2 - scores_on_bits - values_on_bits) + plain * values_on_bits,
            other_flops=other,
        )

    def float_twin(self) -> nn.Module:
        """Return timm's attention of the same sizes."""
        from timm.layers import Attention

        qkv, proj = cast(nn.Linear, self.qkv), cast(nn.Linear, self.proj)
        return Attention(
            self.num_heads * self.head_dim,
            num_heads=self.num_heads,
            qkv_bias=qkv.bias is not None,
            proj_bias=proj.bias is not None,
        )

    def packed(self) -> nn.Module:
        """Return the layer on bits."""
        return PackedBinaryAttention(self)


def refuse_mask(attn_mask: Tensor | None, is_causal: bool) -> None:
    """Refuse what timm's blocks may ask of an attention layer and a binary one has not.

    Raises:
        ValueError: there is one.
    """
    if attn_mask is not None or is_causal:
        raise ValueError("binary attention takes no attention mask")


class PackedBinaryAttention(nn.Module):
    """Packed `BinaryAttention` (GSB Eq. 9-35): float32 `[B,N,C]` -> float32 `[B,N,C]`.

    The input is binarized once for the three projections; the shift of values is folded into the bias of theirs.
    """

    def __init__(self, layer: BinaryAttention) -> None:
        super().__init__()
        if not (isinstance(layer.qkv, QuantLinear) and isinstance(layer.proj, QuantLinear)):
            raise ExportError("binary attention is packed with QuantLinear as its linear layers")
        dim = layer.num_heads * layer.head_dim
        query, key, value = (slice(i * dim, (i + 1) * dim) for i in range(3))
        self.query_linear = pack_binary_linear(layer.qkv, query)
        self.key_linear = pack_binary_linear(layer.qkv, key)
        self.value_linear = pack_binary_linear(layer.qkv, value, layer.value.value_planes().shift)
        self.core = PackedAttentionCore(
            layer.num_heads,
            layer.head_dim,
            layer.query,
            layer.key,
            layer.attention,
            layer.value,
            shifts_values=False,
        )
        self.proj = layer.proj.packed()

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Map tokens, float32 ``[B, N, C]``, to tokens of that shape; masks are refused with a ValueError."""
        refuse_mask(attn_mask, is_causal)
        bits, stats = self.query_linear.bits(x)
        query, key, value = (
            linear.from_bits(bits, stats) for linear in (self.query_linear, self.key_linear, self.value_linear)
        )
        packed: Tensor = self.proj(self.core(query, key, value))
        return packed
