"""The binary linear unit of BinaryViT and BHViT: shift, sign, binary weights, norm, residual, RPReLU."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.channelwise_binary import ChannelwiseBinaryLinear
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.token_norm import NormKind, make_norm
from bitvit.quantizers.triangular_sign import SignOfZero


@dataclass(frozen=True)
class ReactOptions:
    """Choices that every binary layer of a BinaryViT or BHViT shares.

    Args:
        norm: normalization after each binary product and before each block ("batch" in the published runs).
        norm_eps: its epsilon.
        recu: ReCU gradient for linear weights.
        sign_of_zero: ``"zero"`` reproduces the authors' ``torch.sign``; a compatibility variant for their checkpoints.
    """

    norm: NormKind = "batch"
    norm_eps: float = 1e-5
    recu: bool = False
    sign_of_zero: SignOfZero = "plus"

    def make_norm(self, channels: int) -> nn.Module:
        """Return a new normalization of ``channels`` channels."""
        return make_norm(self.norm, channels, self.norm_eps)


def tile_channels(x: Tensor, channels: int) -> Tensor:
    """Repeat the whole last axis until it has ``channels`` elements (a multiple of its size)."""
    times = channels // x.shape[-1]
    return x if times == 1 else x.repeat(*([1] * (x.dim() - 1)), times)


def average_adjacent_channels(x: Tensor, channels: int) -> Tensor:
    """Average groups of adjacent channels so that ``channels`` remain (a divisor of the last axis)."""
    return torch.unflatten(x, -1, (channels, x.shape[-1] // channels)).mean(dim=-1)


class ReactLinear(nn.Module):
    """Binary linear layer with its normalization, parameter-free residual and activation.

    ``y = rprelu(norm(W_b sign(x + shift)) + r(x))`` where ``r`` is the identity for equal widths, tiles the input
    vector when the layer expands, and averages adjacent channels when it contracts.

    Args:
        in_features: K. out_features: O; the larger must be a multiple of the smaller.
        options: shared choices of the network.

    Shape: ``[..., K] -> [..., O]``.

    Raises:
        UsageError: neither width divides the other.

    Source: MODELS section 3.
    """

    def __init__(self, in_features: int, out_features: int, options: ReactOptions) -> None:
        super().__init__()
        if max(in_features, out_features) % min(in_features, out_features):
            raise UsageError(
                f"a layer from {in_features} to {out_features} channels has no residual connection; "
                "choose widths of which one is a multiple of the other"
            )
        self.in_features = in_features
        self.out_features = out_features
        self.linear = ChannelwiseBinaryLinear(
            in_features, out_features, recu=options.recu, sign_of_zero=options.sign_of_zero
        )
        self.norm = options.make_norm(out_features)
        self.activation = RPReLU(out_features)

    def residual(self, x: Tensor) -> Tensor:
        """Return the input brought to the output's width without parameters."""
        if self.out_features >= self.in_features:
            return tile_channels(x, self.out_features)
        return average_adjacent_channels(x, self.out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to the last axis."""
        result: Tensor = self.activation(self.norm(self.linear(x)) + self.residual(x))
        return result


class ReactMlp(nn.Module):
    """Two binary units, expanding and contracting, and an optional affine output: the FFN of BinaryViT and BHViT.

    Args:
        channels: C. hidden: width between the two units.
        affine: scale and shift the output (`ChannelAffine`, initially 0.1).
        options: shared choices of the network.

    Shape: ``[..., C] -> [..., C]``.
    """

    def __init__(self, channels: int, hidden: int, options: ReactOptions, *, affine: bool = True) -> None:
        super().__init__()
        self.expand = ReactLinear(channels, hidden, options)
        self.contract = ReactLinear(hidden, channels, options)
        self.affine: nn.Module = ChannelAffine(channels, 0.1) if affine else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the FFN to the last axis."""
        result: Tensor = self.affine(self.contract(self.expand(x)))
        return result
