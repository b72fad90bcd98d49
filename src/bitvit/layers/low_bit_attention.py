"""Attention of Q-ViT, quantized to few bits with learned steps."""

from torch import Tensor, nn

from bitvit.charge import SOFTMAX, Call, Charge
from bitvit.layers.binary_attention import refuse_mask
from bitvit.layers.information_rectification import InformationRectification
from bitvit.layers.quant_linear import QuantLinear
from bitvit.quantizers.low_bit import LowBitActivation, LowBitWeight


def low_bit_linear(linear: nn.Linear, bits: int) -> QuantLinear:
    """Return a copy of a linear layer with weights and inputs of few bits (Q-ViT, Eq. 1-3)."""
    return QuantLinear.from_float(linear, weight=LowBitWeight(bits), input=LowBitActivation(bits))


class LowBitAttention(nn.Module):
    """Self-attention of Q-ViT; a drop-in for timm's.

    ``Y = proj(Q(softmax(Q(q~) Q(k~)^T / sqrt(D))) Q(v))`` with rectified queries and keys q~, k~.

    Shape: ``[B, N, C]``, both. Source: Q-ViT, sections 3.1 and 3.3.
    """

    comparison_only = True

    def __init__(self, qkv: nn.Linear, proj: nn.Linear, num_heads: int, bits: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = proj.in_features // num_heads
        self.bits = bits
        self.qkv = low_bit_linear(qkv, bits)
        self.rectify_query = InformationRectification(num_heads, self.head_dim)
        self.rectify_key = InformationRectification(num_heads, self.head_dim)
        self.query, self.key, self.value, self.attention = (LowBitActivation(bits) for _ in range(4))
        self.proj = low_bit_linear(proj, bits)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Run the attention."""
        refuse_mask(attn_mask, is_causal)
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        (q, _), (k, _) = self.query(self.rectify_query(q)), self.key(self.rectify_key(k))
        scores = (q @ k.transpose(-2, -1)) * self.head_dim**-0.5
        y = self.attention(scores.softmax(dim=-1))[0] @ self.value(v)[0]
        result: Tensor = self.proj(y.transpose(1, 2).reshape(batch, tokens, dim))
        return result

    def charge(self, call: Call) -> Charge:
        """Products of w bits with x bits are w times x binary products, one for each pair of bit planes."""
        _, tokens, channels = call.input
        products = 2 * tokens * tokens * channels
        other = SOFTMAX * tokens * tokens * self.num_heads
        if not self.query.enabled:
            return Charge(flops=products, other_flops=other)
        return Charge(bops=products * self.bits**2, other_flops=other)
