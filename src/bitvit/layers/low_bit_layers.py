"""Layers of Q-ViT: linear layers and attention quantized to few bits with learned steps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.layers.information_rectification import InformationRectification
from bitvit.layers.staged import enable_gradients
from bitvit.quantizers import MIN_SCALE, Positive, at_least_float32
from bitvit.quantizers.low_bit import fit_low_bit, low_bit


class LowBitActivation(nn.Module):
    """An activation in ``2^bits`` levels with a learned step and offset (`bitvit.quantizers.low_bit`).

    Attributes:
        step: effective positive scalar (the parameter is ``raw_step``). offset: scalar.

    Shape: any, batch first; both.
    """

    step = Positive(MIN_SCALE)

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.binarize_input = True
        self.raw_step = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Quantize."""
        if not self.binarize_input:
            return x
        x = at_least_float32(x)
        return low_bit(x, self.step, self.offset, self.bits, x[0].numel())

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`: stage 1 quantizes weights only."""
        self.binarize_input = enabled
        enable_gradients(self.parameters(), enabled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set step and offset from data."""
        self.step, offset = fit_low_bit(at_least_float32(x), self.bits, centred=True)
        self.offset.copy_(offset)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


class LowBitLinear(nn.Linear):
    """Linear layer whose weights and inputs have few bits: ``y = Q(x) . Q(W) + bias``.

    Attributes:
        weight_step: effective positive scalar (the parameter is ``raw_weight_step``). quantize: of the input.

    Shape: ``[B, ..., K] -> [B, ..., O]``. Source: Q-ViT, Eq. 1-3 (its fully quantized baseline).
    """

    weight_step = Positive(MIN_SCALE)

    @classmethod
    def from_float(cls, linear: nn.Linear, bits: int) -> "LowBitLinear":
        """A quantized copy of a linear layer."""
        quantized = cls(linear.in_features, linear.out_features, bias=linear.bias is not None)
        quantized.bits = bits
        quantized.quantize = LowBitActivation(bits)
        quantized.raw_weight_step = nn.Parameter(torch.ones(()))
        quantized.load_state_dict(linear.state_dict(), strict=False)
        quantized.reset_weight_step()
        return quantized

    bits: int
    quantize: LowBitActivation
    raw_weight_step: nn.Parameter

    @torch.no_grad()
    def reset_weight_step(self) -> None:
        """Set the weights' step from the weights."""
        self.weight_step, _ = fit_low_bit(self.weight, self.bits, centred=False)

    def quantized_weight(self) -> Tensor:
        """The weights as the product sees them."""
        weight = at_least_float32(self.weight)
        return low_bit(weight, self.weight_step, weight.new_zeros(()), self.bits, weight.numel())

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last axis."""
        return F.linear(self.quantize(x), self.quantized_weight(), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bits={self.bits}"


class LowBitAttention(nn.Module):
    """Self-attention of Q-ViT; a drop-in for timm's.

    ``Y = proj(Q(softmax(Q(q~) Q(k~)^T / sqrt(D))) Q(v))`` with rectified queries and keys q~, k~.

    Shape: ``[B, N, C]``, both. Source: Q-ViT, sections 3.1 and 3.3.
    """

    def __init__(self, qkv: nn.Linear, proj: nn.Linear, num_heads: int, bits: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = proj.in_features // num_heads
        self.bits = bits
        self.qkv = LowBitLinear.from_float(qkv, bits)
        self.rectify_query = InformationRectification(num_heads, self.head_dim)
        self.rectify_key = InformationRectification(num_heads, self.head_dim)
        self.query, self.key, self.value, self.attention = (LowBitActivation(bits) for _ in range(4))
        self.proj = LowBitLinear.from_float(proj, bits)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Run the attention."""
        if attn_mask is not None or is_causal:
            raise ValueError("low-bit attention takes no attention mask")
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.query(self.rectify_query(q)), self.key(self.rectify_key(k))
        scores = (q @ k.transpose(-2, -1)) * self.head_dim**-0.5
        y = self.attention(scores.softmax(dim=-1)) @ self.value(v)
        result: Tensor = self.proj(y.transpose(1, 2).reshape(batch, tokens, dim))
        return result
