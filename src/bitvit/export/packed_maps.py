"""Packed twins of the pyramids' layers on maps: extra branches, dilated mixer, downsampling."""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from bitvit.export.errors import ExportError
from bitvit.export.packed_layers import pack_layer
from bitvit.export.packed_units import PackedRPReLU, PackedShiftedSign, as_rows, check_binary, like_map, pack_child
from bitvit.export.packing import pack_sign_bits
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.react_branches import PoolingBranches, ShiftBranches
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling

ops = torch.ops.bitvit

Taps = list[list[int]]


def grid_of(x: Tensor) -> list[int]:
    """Height and width of a map `[B,H,W,C]`."""
    return [int(x.shape[1]), int(x.shape[2])]


class StencilBranch(nn.Module):
    """A mean or shift of neighbouring cells, then its LayerScale: map -> map."""

    def __init__(self, groups: list[Taps], wrap: bool, divisor: int, affine: nn.Module) -> None:
        super().__init__()
        self.groups = json.dumps(groups)
        self.wrap = wrap
        self.divisor = divisor
        self.affine = pack_child(affine)

    def forward(self, x: Tensor) -> Tensor:
        rows = ops.stencil(as_rows(x), grid_of(x), self.groups, self.wrap, self.divisor)
        branch: Tensor = self.affine(like_map(rows, x))
        return branch


class PackedBranches(nn.Module):
    """Sum of stencil branches, in the order of the trainable layer: each size's branches are added up, then the
    sizes."""

    def __init__(self, sizes: list[list[StencilBranch]]) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(nn.Sequential(*branches) for branches in sizes)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        for branches in self.sizes:
            first, *rest = branches.children()
            branch: Tensor = first(x)
            for part in rest:
                branch = branch + part(x)
            total = branch if total is None else total + branch
        assert total is not None
        return total


def _pooling_branches(layer: PoolingBranches) -> PackedBranches:
    sizes = []
    for kernel, height, width in zip(layer.kernels, layer.along_height, layer.along_width, strict=True):
        reach = range(-(kernel // 2), kernel // 2 + 1)
        sizes.append(
            [
                StencilBranch([[[d, 0] for d in reach]], False, kernel, height),
                StencilBranch([[[0, d] for d in reach]], False, kernel, width),
            ]
        )
    return PackedBranches(sizes)


def _shift_branches(layer: ShiftBranches) -> PackedBranches:
    """`torch.roll(x, s)` reads the cell at distance -s."""
    sizes = []
    parts = zip(layer.kernels, layer.along_height, layer.along_width, layer.along_channels, strict=True)
    for kernel, height, width, quarters in parts:
        radius = kernel // 2
        reach = [0] + [sign * d for d in range(1, radius + 1) for sign in (-1, 1)]
        shifts: list[Taps] = [[[-radius, 0]], [[radius, 0]], [[0, -radius]], [[0, radius]]]
        sizes.append(
            [
                StencilBranch([[[d, 0] for d in reach]], True, kernel, height),
                StencilBranch([[[0, d] for d in reach]], True, kernel, width),
                StencilBranch(shifts, True, 1, quarters),
            ]
        )
    return PackedBranches(sizes)


class PackedBinaryConv(nn.Module):
    """Packed `ChannelwiseBinaryConv2d` of stride 1 on sign bits: bits `[B,N,ceil(C/8)]` -> rows `[B,N,O]`."""

    def __init__(self, layer: ChannelwiseBinaryConv2d) -> None:
        super().__init__()
        check_binary(layer)
        signs, scale = layer.binary_weight()
        self.channels = layer.in_channels
        self.kernel, self.dilation, self.groups = layer.kernel_size, layer.dilation, layer.groups
        self.register_buffer("weight", pack_sign_bits(signs.permute(0, 2, 3, 1).flatten(1, 2)))
        self.register_buffer("scale", scale.detach().float().reshape(-1))
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach().float().clone()
        self.register_buffer("bias", bias)

    def forward(self, bits: Tensor, grid: list[int]) -> Tensor:
        rows: Tensor = ops.binary_conv(
            bits, self.weight, self.scale, self.bias, grid, self.channels, self.kernel, self.dilation, self.groups
        )
        return rows


class PackedMapConv(nn.Module):
    """Packed `ChannelwiseBinaryConv2d` that takes the signs itself and keeps the map's size: map -> map."""

    def __init__(self, layer: ChannelwiseBinaryConv2d) -> None:
        super().__init__()
        keeps_size = layer.kernel_size % 2 == 1 and layer.padding == layer.dilation * (layer.kernel_size // 2)
        if layer.input_shift is None or layer.stride != 1 or not keeps_size:
            raise ExportError(
                "a binary convolution can be packed with signed_input=False, stride 1, an odd kernel and padding = "
                f"dilation * (kernel // 2); this one is ({layer.extra_repr()}). See BinaryDownsampling for strides"
            )
        self.conv = PackedBinaryConv(layer)
        self.register_buffer("threshold", -layer.input_shift.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        return like_map(self.conv(ops.sign(as_rows(x), self.threshold, 0), grid_of(x)), x)


class PackedDilatedMixer(nn.Module):
    """Packed `DilatedMixer`: the input is binarized once for the three convolutions."""

    def __init__(self, layer: DilatedMixer) -> None:
        super().__init__()
        self.sign = PackedShiftedSign(layer.sign)
        self.convs = nn.ModuleList(PackedBinaryConv(conv) for conv in layer.convs)  # type: ignore[arg-type]
        self.activations = nn.ModuleList(PackedRPReLU(a) for a in layer.activations)  # type: ignore[arg-type]
        self.norm = pack_child(layer.norm)

    def forward(self, x: Tensor) -> Tensor:
        bits = self.sign(as_rows(x))
        grid = grid_of(x)
        first, second, third = (
            activation(conv(bits, grid)) for conv, activation in zip(self.convs, self.activations, strict=True)
        )
        return like_map(self.norm(first + second + third), x)


class PackedBinaryDownsampling(nn.Module):
    """Packed `BinaryDownsampling`: a 2 x 2 patch of bits is one long row of a binary linear layer."""

    def __init__(self, layer: BinaryDownsampling) -> None:
        super().__init__()
        check_binary(layer.conv)
        signs, scale = layer.conv.binary_weight()
        assert layer.conv.input_shift is not None
        self.channels = layer.conv.in_channels
        self.times = layer.out_channels // self.channels
        self.norm_in = pack_child(layer.norm_in)
        self.register_buffer("threshold", -layer.conv.input_shift.detach().float())
        self.register_buffer("weight", pack_sign_bits(signs.permute(0, 2, 3, 1).flatten(1)))
        self.register_buffer("scale", scale.detach().float().reshape(-1))
        self.register_buffer("bias", torch.zeros(layer.out_channels))
        self.norm_out = pack_child(layer.norm_out)
        self.activation = PackedRPReLU(layer.activation)
        self.position = layer.position

    def forward(self, x: Tensor) -> Tensor:
        grid = grid_of(x)
        rows = as_rows(self.norm_in(x))
        pooled = ops.repeat_channels(ops.pool(rows, grid, "average", 2, 2, 0), self.times)
        bits = ops.merge_patches_sign(ops.sign(rows, self.threshold, 0), grid, 2, self.channels)
        product = ops.binary_linear(bits, self.weight, self.scale, self.bias, 4 * self.channels, "sign")
        y: Tensor = self.position(self.activation(self.norm_out(product) + pooled))
        return y.reshape(len(x), *self.position.size, y.shape[-1])


class PackedFloatDownsampling(nn.Module):
    """`FloatDownsampling` on rows of 2 x 2 patches."""

    def __init__(self, layer: FloatDownsampling) -> None:
        super().__init__()
        self.norm_in = pack_child(layer.norm_in)
        weight = layer.conv.weight.detach().float().permute(0, 2, 3, 1).flatten(1).contiguous()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.zeros(len(weight)))
        self.norm_out = pack_child(layer.norm_out)
        self.position = layer.position

    def forward(self, x: Tensor) -> Tensor:
        rows = ops.merge_patches(as_rows(self.norm_in(x)), grid_of(x), 2)
        y: Tensor = self.position(self.norm_out(ops.linear_f32(rows, self.weight, self.bias)))
        return y.reshape(len(x), *self.position.size, y.shape[-1])


@pack_layer.register
def _(layer: PoolingBranches) -> nn.Module:
    return _pooling_branches(layer)


@pack_layer.register
def _(layer: ShiftBranches) -> nn.Module:
    return _shift_branches(layer)


@pack_layer.register
def _(layer: ChannelwiseBinaryConv2d) -> nn.Module:
    return PackedMapConv(layer)


@pack_layer.register
def _(layer: DilatedMixer) -> nn.Module:
    return PackedDilatedMixer(layer)


@pack_layer.register
def _(layer: BinaryDownsampling) -> nn.Module:
    return PackedBinaryDownsampling(layer)


@pack_layer.register
def _(layer: FloatDownsampling) -> nn.Module:
    return PackedFloatDownsampling(layer)
