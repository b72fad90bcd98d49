"""The binary linear unit of BinaryViT and BHViT: shift, sign, binary weights, norm, residual, RPReLU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge, NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.facts import packed_child
from bitvit.layers.packed import as_rows, like_map, ops
from bitvit.layers.quant_linear import QuantLinear
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.token_norm import NormKind, make_norm
from bitvit.quantizers.channelwise_weight import ChannelSignWeight
from bitvit.quantizers.estimator import ActivationEstimator, WeightEstimator
from bitvit.quantizers.recu import RecuWeight
from bitvit.quantizers.triangular_sign import ShiftedSign, SignOfZero


@dataclass(frozen=True)
class ReactOptions:
    """Choices that every binary layer of a BinaryViT or BHViT shares.

    Args:
        norm: normalization after each binary product and before each block ("batch" in the published runs).
        norm_eps: its epsilon.
        recu: ReCU gradient for linear weights.
        sign_of_zero: ``"zero"`` reproduces the authors' ``torch.sign``; a compatibility variant for their checkpoints.
        weight: makes the estimator of linear weights, in place of the published one.
        activation: makes the estimator of inputs, queries, keys and values of so many channels, in place of the
            published one.
    """

    norm: NormKind = "batch"
    norm_eps: float = 1e-5
    recu: bool = False
    sign_of_zero: SignOfZero = "plus"
    weight: Callable[[], WeightEstimator] | None = None
    activation: Callable[[int], ActivationEstimator] | None = None

    def make_norm(self, channels: int) -> nn.Module:
        """Return a new normalization of ``channels`` channels."""
        return make_norm(self.norm, channels, self.norm_eps)

    def make_weight(self) -> WeightEstimator:
        """Return a new estimator of linear weights."""
        if self.weight is not None:
            return self.weight()
        return RecuWeight(sign_of_zero=self.sign_of_zero) if self.recu else self.make_filter()

    def make_filter(self, centre: bool = True) -> WeightEstimator:
        """Return a new estimator of a convolution's weights; ``centre`` subtracts each filter's mean."""
        return ChannelSignWeight(centre, self.sign_of_zero)

    def make_sign(self, channels: int) -> ActivationEstimator:
        """Return a new estimator of ``channels`` channels of activations."""
        return ShiftedSign(channels, self.sign_of_zero) if self.activation is None else self.activation(channels)

    def make_linear(self, in_features: int, out_features: int) -> QuantLinear:
        """Return a new binary linear layer without a bias (a normalization follows)."""
        return QuantLinear(
            in_features,
            out_features,
            bias=False,
            weight=self.make_weight(),
            input=self.make_sign(in_features),
            initialize=draw_weight,
        )


def draw_weight(weight: Tensor) -> None:
    """Draw a binary layer's first weights as the authors do: normal, standard deviation 0.02."""
    nn.init.trunc_normal_(weight, std=0.02)


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
        in_features: K.
        out_features: O; the larger must be a multiple of the smaller.
        options: shared choices of the network.

    Shape: ``[..., K] -> [..., O]``.

    Raises:
        UsageError: neither width divides the other.

    Source: docs/models.md, section 3.
    """

    norm_after = ("linear", "norm")

    def __init__(self, in_features: int, out_features: int, options: ReactOptions) -> None:
        super().__init__()
        if max(in_features, out_features) % min(in_features, out_features):
            raise UsageError(
                f"a layer from {in_features} to {out_features} channels has no residual connection; "
                "choose widths of which one is a multiple of the other"
            )
        self.in_features = in_features
        self.out_features = out_features
        self.linear = options.make_linear(in_features, out_features)
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

    def charge(self, call: Call) -> Charge:
        """The residual sum, and the average of adjacent channels where the layer contracts."""
        averages = call.elements_in if self.in_features > self.out_features else 0
        return Charge(other_flops=call.elements_out + averages)

    def packed(self) -> nn.Module:
        """Return the layer on bits."""
        return PackedReactLinear(self)


class PackedReactLinear(nn.Module):
    """Packed `ReactLinear`; any leading axes."""

    def __init__(self, layer: ReactLinear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.linear = packed_child(layer.linear)
        self.norm = packed_child(layer.norm)
        self.activation = packed_child(layer.activation)

    def residual(self, rows: Tensor) -> Tensor:
        """The input at the output's width: itself, repeated, or averaged over adjacent channels."""
        if self.out_features == self.in_features:
            return rows
        if self.out_features > self.in_features:
            repeated: Tensor = ops.repeat_channels(rows, self.out_features // self.in_features)
            return repeated
        averaged: Tensor = ops.mean_channels(rows, self.in_features // self.out_features)
        return averaged

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., K]``, float32, to ``[..., O]``."""
        rows = as_rows(x)
        return like_map(self.activation(self.norm(self.linear(rows)) + self.residual(rows)), x)


class ReactMlp(NoOwnWork, nn.Module):
    """Two binary units, expanding and contracting, and an optional affine output: the FFN of BinaryViT and BHViT.

    Args:
        channels: C.
        hidden: width between the two units.
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
