"""Multi-head self-attention on bits (GSB Fig. 8c, Eq. 7 and 35)."""

import torch
from torch import Tensor, nn

from bitvit.layers.attention_binarizers import GsbAttentionBinarizer, XnorAttentionBinarizer
from bitvit.layers.binary_linear import BinaryLinear, Statistics
from bitvit.layers.sign_activation import SignActivation
from bitvit.layers.value_binarizer import GsbValueBinarizer


class BinaryAttention(nn.Module):
    """Multi-head self-attention whose linear layers, queries, keys, attention and values are binary; a drop-in for
    timm's.

    ``Y = proj(A_b * V_b)`` with ``A_b = attention(softmax(Q_b K_b^T / sqrt(D)))``, ``V_b = value(V)``, where Q_b and
    K_b are signs with a learned scale, or signs alone with XNOR statistics. With real activations (stage 1) only the
    weights are binary.

    Args:
        dim: channels C.
        num_heads: heads H; D = C/H.
        attention: binarizer of the attention probabilities.
        value: binarizer of V.
        statistics: source of translation and scale of the linear layers' inputs, Q and K.
        qkv_bias, proj_bias: real-valued biases.
        attn_drop, proj_drop: dropout rates on attention and output.

    Attributes:
        qkv, proj: `BinaryLinear`. query, key: `SignActivation`. attention, value: the binarizers.
        binarize_activations: False in stage 1.

    Shape: ``[B, N, C]``, both.

    Source: GSB Eq. 7 (baseline) and Eq. 35.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        attention: GsbAttentionBinarizer | XnorAttentionBinarizer,
        value: GsbValueBinarizer | SignActivation,
        statistics: Statistics = "learned",
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
        self.binarize_activations = True
        self.qkv = BinaryLinear(dim, 3 * dim, bias=qkv_bias, statistics=statistics)
        self.query = SignActivation(num_heads, self.head_dim, statistics, scaled=False)
        self.key = SignActivation(num_heads, self.head_dim, statistics, scaled=False)
        self.attention = attention
        self.value = value
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = BinaryLinear(dim, dim, bias=proj_bias, statistics=statistics)
        self.proj_drop = nn.Dropout(proj_drop)

    def score_scale(self) -> float:
        """The factor of ``sign(Q) . sign(K)`` inside the softmax: both learned scales (if any) over ``sqrt(D)``."""
        scale: float = self.head_dim**-0.5
        for signs in (self.query, self.key):
            if signs.statistics == "learned":
                scale *= float(signs.scale.detach())
        return scale

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        if attn_mask is not None or is_causal:
            raise ValueError("binary attention takes no attention mask")
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        if self.binarize_activations:
            q, k = self.query(q), self.key(k)
        # Scores decide thresholds: autocast must not round them.
        with torch.autocast(x.device.type, enabled=False):
            scores = (q @ k.transpose(-2, -1)) * self.head_dim**-0.5
            probabilities = scores.softmax(dim=-1)
        if self.binarize_activations:
            probabilities, v = self.attention(probabilities), self.value(v)
        y = (self.attn_drop(probabilities) @ v).transpose(1, 2).reshape(batch, tokens, dim)
        projected: Tensor = self.proj_drop(self.proj(y))
        return projected

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`."""
        self.binarize_activations = enabled
