"""Layers with the arithmetic of the GSB release; they replace those of `bitvit.layers` in imported checkpoints only."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.layers import (
    BinaryAttention,
    BinaryLinear,
    BinaryMlp,
    GsbValueBinarizer,
    QuantizedConv2d,
    QuantizedLinear,
    SignActivation,
    XnorAttentionBinarizer,
)
from bitvit.layers.staged import enable_gradients
from bitvit.models.reference.gsb_quantizers import (
    FACTORS,
    Scope,
    elastic_sign,
    elastic_steps,
    initial_band_scales,
    release_attention,
    release_value,
)
from bitvit.quantizers import Positive

_INT8 = (-128, 127)


class _IdentityGradientSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, weight: Tensor, scale: Tensor) -> Tensor:
        return scale * torch.sign(weight - weight.mean())

    @staticmethod
    def backward(ctx: object, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return grad_outputs[0], None


def release_weight(weight: Tensor) -> Tensor:
    """``mean|W| sign(W - mean W)`` over the whole tensor, sign(0) = 0; gradient: identity."""
    result: Tensor = _IdentityGradientSign.apply(weight, weight.detach().abs().mean())
    return result


class ReleaseLinear(BinaryLinear):
    """`BinaryLinear` with the release's quantizers; scales start at 2 mean|x| (signed) or 4 mean|x| (non-negative)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last axis."""
        if self.binarize_input:
            shifted, scale = x + self.input_shift, self.input_scale
            x = elastic_steps(shifted, scale, 0, 1) if self.rounds_input else elastic_sign(shifted, scale)
        return F.linear(x, release_weight(self.weight), self.bias)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the input's scale as the release's first forward pass does."""
        self.input_scale = (4 if self.rounds_input else 2) * (x + self.input_shift).abs().mean()


class ReleaseWeightLinear(nn.Linear):
    """Linear layer of the release's stage 1: binary weights, real input with a learned shift."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.input_shift = nn.Parameter(torch.zeros(in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to the last axis."""
        return F.linear(x + self.input_shift, release_weight(self.weight), self.bias)


class ReleaseSign(SignActivation):
    """`SignActivation` with the release's gradients."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled signs, ``[B, H, N, D]``."""
        return elastic_sign(x + self.shift, self.scale)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the scale as the release's first forward pass does: 2 mean|x|."""
        self.scale = 2 * (x + self.shift).abs().mean()


class ReleaseAttentionBinarizer(nn.Module):
    """The release's form of `GsbAttentionBinarizer`: thresholds from the maximum of the batch, or of each image.

    Not a subclass: masks relative to an image's maximum differ from those relative to each row's, also in a packed
    engine.

    Args:
        num_heads: heads H. num_tokens: tokens N.

    Attributes:
        offset: parameter Phi ``[H, N, N]``, subtracted. scales: effective positive ``a_0 .. a_2`` (the parameter is
            ``raw_scales``). factors: ``c_1``, ``c_2``.
        threshold_scope: ``"batch"`` reproduces the release, in which an image's logits depend on its batch; ``"image"``
            gives each image the logits that it has alone. A packed engine only has the latter.
    """

    scales = Positive()
    factors = FACTORS
    threshold_scope: Scope = "batch"
    _first_pass = False

    def __init__(self, num_heads: int, num_tokens: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_tokens = num_tokens
        self.raw_scales = nn.Parameter(torch.full((len(FACTORS) + 1,), 1.0 / num_tokens))
        self.offset = nn.Parameter(torch.zeros(num_heads, num_tokens, num_tokens))

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; switching itself is the attention's."""
        enable_gradients(self.parameters(), enabled)

    def forward(self, attention: Tensor) -> Tensor:
        """Quantize attention probabilities, ``[B, H, N, N]``."""
        first, self._first_pass = self._first_pass, False
        return release_attention(attention - self.offset, self.scales, self.threshold_scope, exclusive=first)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the scales as the release's first forward pass does; the pass under way uses that pass's levels."""
        self.scales = initial_band_scales(x - self.offset, False, self.threshold_scope)
        self._first_pass = True


class ReleaseValueBinarizer(GsbValueBinarizer):
    """`GsbValueBinarizer` with the release's gradients and thresholds; see `ReleaseAttentionBinarizer`."""

    threshold_scope: Scope = "batch"
    _first_pass = False

    def forward(self, value: Tensor) -> Tensor:
        """Quantize values, ``[B, H, N, D]``."""
        first, self._first_pass = self._first_pass, False
        return release_value(value - self.omega, self.scales, self.threshold_scope, exclusive=first)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the scales as the release's first forward pass does; the pass under way uses that pass's levels."""
        self.scales = initial_band_scales(x - self.omega, True, self.threshold_scope)
        self._first_pass = True


class ClippedGelu(nn.GELU):
    """GELU clipped to +-10, as the release puts before fc2 in stage 2."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the activation element by element."""
        return super().forward(input).clamp(-10, 10)


class ReleaseAttention(BinaryAttention):
    """`BinaryAttention` made of the release's parts.

    Args:
        dim: channels C. num_heads: H. num_tokens: N. bias: biases of both linear layers.
    """

    def __init__(self, dim: int, num_heads: int, num_tokens: int, bias: bool = True) -> None:
        head_dim = dim // num_heads
        value = ReleaseValueBinarizer(num_heads, head_dim, components=2)
        super().__init__(dim, num_heads, XnorAttentionBinarizer(num_tokens), value)
        setattr(self, "attention", ReleaseAttentionBinarizer(num_heads, num_tokens))  # noqa: B010 (of another type)
        self.qkv = ReleaseLinear(dim, 3 * dim, bias=bias)
        self.proj = ReleaseLinear(dim, dim)
        self.query = ReleaseSign(num_heads, head_dim)
        self.key = ReleaseSign(num_heads, head_dim)


class ReleaseMlp(BinaryMlp):
    """`BinaryMlp` made of the release's parts.

    Args:
        dim: channels C. hidden: channels between the two layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(dim, hidden, act_layer=ClippedGelu)
        self.fc1 = ReleaseLinear(dim, hidden)
        self.fc2 = ReleaseLinear(hidden, dim, input_type="nonnegative")


class ReleaseWeightAttention(nn.Module):
    """The release's attention in stage 1: full precision, with the shifts of q, k and v.

    Args:
        dim: channels C. num_heads: H. bias: a bias of qkv.

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


class ReleaseConv2d(QuantizedConv2d):
    """`QuantizedConv2d` whose steps' gradients are averaged over the whole weight, as in the release."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve images, ``[B, I, H, W]``."""
        weight = elastic_steps(self.weight, self.step[:, None, None, None], *_INT8)
        y: Tensor = self._conv_forward(x, weight, self.bias)
        return y

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set all steps as the release's first forward pass does: 2 mean|W| / sqrt(127); the input plays no part."""
        del x
        self.step = (2 * self.weight.abs().mean() / math.sqrt(127)).expand_as(self.raw_step)


class ReleaseHead(QuantizedLinear):
    """`QuantizedLinear` with the release's gradients and initial steps."""

    def forward(self, x: Tensor) -> Tensor:
        """Classify tokens, ``[B, K] -> [B, O]``."""
        if self.quantize_input:
            x = elastic_steps(x + self.input_shift, self.input_step, *_INT8)
        return F.linear(x, elastic_steps(self.weight, self.weight_step, *_INT8), self.bias)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set both steps as the release's first forward pass does: 2 mean|.| / sqrt(127)."""
        self.input_step = 2 * (x + self.input_shift).abs().mean() / math.sqrt(127)
        self.weight_step = 2 * self.weight.abs().mean() / math.sqrt(127)
