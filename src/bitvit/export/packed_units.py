"""Packed twins of the layers that BinaryViT and BHViT are made of: norms, RPReLU, and the binary linear unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitvit.export.errors import ExportError
from bitvit.export.packed_layers import pack_layer
from bitvit.export.packing import pack_sign_bits
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d, ChannelwiseBinaryLinear
from bitvit.layers.react_linear import ReactLinear
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.shifted_sign import ShiftedSign
from bitvit.layers.token_norm import TokenBatchNorm

ops = torch.ops.bitvit


def as_rows(x: Tensor) -> Tensor:
    """A map `[B,H,W,C]` as rows `[B,H W,C]`; rows stay as they are."""
    return x.flatten(1, -2) if x.ndim == 4 else x


def like_map(rows: Tensor, x: Tensor) -> Tensor:
    """Rows in the map shape of `x`, with their own number of channels."""
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


def pack_child(layer: nn.Module) -> nn.Module:
    """The packed twin of a layer inside a packed layer; layers without one (LayerNorm, Identity) stay."""
    return pack_layer(layer) or layer


class PackedAffine(nn.Module):
    """`x scale + bias` a channel: LayerScale, or a BatchNorm in evaluation. Any leading axes."""

    def __init__(self, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.detach().float().clone())
        self.register_buffer("bias", bias.detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        return like_map(ops.affine(as_rows(x), self.scale, self.bias), x)


class PackedRPReLU(nn.Module):
    """Packed `RPReLU`."""

    def __init__(self, layer: RPReLU) -> None:
        super().__init__()
        for name in ("before", "slope", "after"):
            self.register_buffer(name, getattr(layer, name).detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        return like_map(ops.rprelu(as_rows(x), self.before, self.slope, self.after), x)


class PackedShiftedSign(nn.Module):
    """`ShiftedSign` to bits: rows `[B,N,C]` -> sign bits, split into heads where `num_heads` is given."""

    def __init__(self, layer: ShiftedSign, num_heads: int = 0) -> None:
        super().__init__()
        if not layer.binarize_input:
            raise ExportError("the model's activations are not binary: train stage 2 before exporting it")
        self.num_heads = num_heads
        self.register_buffer("threshold", -layer.shift.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        bits: Tensor = ops.sign(x, self.threshold, self.num_heads)
        return bits


class PackedChannelwiseLinear(nn.Module):
    """Packed `ChannelwiseBinaryLinear`: `W_b sign(x + shift)`; any leading axes."""

    def __init__(self, layer: ChannelwiseBinaryLinear) -> None:
        super().__init__()
        check_binary(layer)
        signs, scale = layer.binary_weight()
        self.in_features = layer.in_features
        self.register_buffer("threshold", -layer.input_shift.detach().float())
        self.register_buffer("weight", pack_sign_bits(signs))
        self.register_buffer("scale", scale.detach().float().reshape(-1))
        self.register_buffer("bias", torch.zeros(layer.out_features))

    def forward(self, x: Tensor) -> Tensor:
        bits = ops.sign(as_rows(x), self.threshold, 0)
        return like_map(ops.binary_linear(bits, self.weight, self.scale, self.bias, self.in_features, "sign"), x)


class PackedReactLinear(nn.Module):
    """Packed `ReactLinear`: `rprelu(norm(W_b sign(x + shift)) + r(x))`; any leading axes."""

    def __init__(self, layer: ReactLinear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.linear = PackedChannelwiseLinear(layer.linear)
        self.norm = pack_child(layer.norm)
        self.activation = PackedRPReLU(layer.activation)

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
        rows = as_rows(x)
        return like_map(self.activation(self.norm(self.linear(rows)) + self.residual(rows)), x)


def check_binary(layer: ChannelwiseBinaryLinear | ChannelwiseBinaryConv2d) -> None:
    """Raise unless the layer's input is binary."""
    if not layer.binarize_input:
        raise ExportError("the model's activations are not binary: train stage 2 before exporting it")


@pack_layer.register
def _(layer: TokenBatchNorm) -> nn.Module:
    return PackedAffine(*layer.folded())


@pack_layer.register
def _(layer: ChannelAffine) -> nn.Module:
    return PackedAffine(layer.scale, layer.shift)


@pack_layer.register
def _(layer: RPReLU) -> nn.Module:
    return PackedRPReLU(layer)


@pack_layer.register
def _(layer: ChannelwiseBinaryLinear) -> nn.Module:
    return PackedChannelwiseLinear(layer)


@pack_layer.register
def _(layer: ReactLinear) -> nn.Module:
    return PackedReactLinear(layer)
