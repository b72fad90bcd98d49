"""Layers of the GSB release, made of its estimators; imported checkpoints only."""

import torch
from torch import Tensor, nn

from bitvit.errors import ExportError
from bitvit.layers import BinaryAttention, BinaryMlp, QuantLinear
from bitvit.models.reference.gsb_quantizers import (
    ReleaseAttention,
    ReleaseRound,
    ReleaseShift,
    ReleaseSign,
    ReleaseValue,
    ReleaseWeight,
)

_CLIP = 10.0


def release_linear(in_features: int, out_features: int, bias: bool = True) -> QuantLinear:
    """Make a binary linear layer of signed inputs."""
    return QuantLinear(in_features, out_features, bias, weight=ReleaseWeight(), input=ReleaseSign((in_features,)))


def release_weight_linear(in_features: int, out_features: int) -> QuantLinear:
    """Make a linear layer of stage 1: binary weights, real input with a learned shift."""
    return QuantLinear(in_features, out_features, weight=ReleaseWeight(), input=ReleaseShift(in_features))


def release_attention_layer(dim: int, num_heads: int, num_tokens: int, bias: bool = True) -> BinaryAttention:
    """Make binary attention of C channels, H heads and N tokens; ``bias``: of qkv."""
    head_dim = dim // num_heads
    shape = (num_heads, 1, head_dim)
    return BinaryAttention(
        dim,
        num_heads,
        ReleaseAttention(num_heads, num_tokens),
        ReleaseValue(num_heads, head_dim, components=2),
        query=ReleaseSign(shape),
        key=ReleaseSign(shape),
        linear=release_linear,
        qkv_bias=bias,
    )


class ClippedGelu(nn.GELU):
    """GELU clipped to +-10, as the release puts before fc2 in stage 2. Packed without the clip: see `ReleaseMlp`."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the activation element by element."""
        return super().forward(input).clamp(-_CLIP, _CLIP)

    def packed(self) -> nn.Module:
        """Return a GELU without the clip."""
        return nn.GELU()


class ReleaseMlp(BinaryMlp):
    """`BinaryMlp` made of the release's parts.

    Args:
        dim: channels C.
        hidden: channels between the two layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        fc2 = QuantLinear(hidden, dim, weight=ReleaseWeight(), input=ReleaseRound((hidden,)))
        super().__init__(release_linear(dim, hidden), fc2, ClippedGelu())

    def packed(self) -> None:
        """Check that the clip changes no bit: every threshold of fc2 must be below it.

        Raises:
            ExportError: a threshold exceeds the clip before it.
        """
        inputs = self.fc2.get_submodule("input_quantizer")
        assert isinstance(inputs, ReleaseRound)
        if bool((0.5 * inputs.scale - inputs.shift >= _CLIP).any()):
            raise ExportError(
                "a threshold of fc2 exceeds the clip of the GELU before it: this checkpoint cannot be packed"
            )


class ReleaseWeightAttention(nn.Module):
    """The release's attention in stage 1: full precision, with the shifts of q, k and v.

    Args:
        dim: channels C.
        num_heads: H.
        bias: a bias of qkv.

    Shape: ``[B, N, C]``, both.
    """

    def __init__(self, dim: int, num_heads: int, bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim)
        for name in ("query_shift", "key_shift", "value_shift"):
            self.register_parameter(name, nn.Parameter(torch.zeros(num_heads, 1, self.head_dim)))

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Attend."""
        if attn_mask is not None or is_causal:
            raise ValueError("this attention takes no attention mask")
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k, v = q + self.query_shift, k + self.key_shift, v + self.value_shift
        scores = (q @ k.transpose(-2, -1)) * self.head_dim**-0.5
        y: Tensor = self.proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, tokens, dim))
        return y
