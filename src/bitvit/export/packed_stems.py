"""Packed first layers: what takes the bytes of an image, with the normalization folded in or applied first."""

from __future__ import annotations

from functools import singledispatch

import torch
from timm.layers.format import Format
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn

from bitvit import layers
from bitvit.export.errors import ExportError
from bitvit.export.packed_units import pack_child
from bitvit.models.pyramid import PyramidStem

ops = torch.ops.bitvit


@singledispatch
def pack_stem(layer: nn.Module, mean: Tensor, std: Tensor) -> tuple[nn.Module, tuple[int, int]] | None:
    """The packed twin of a first layer and the image size (height, width) it takes, or None for any other layer.

    Other code may register its own stems with `pack_stem.register`; the twin takes uint8 `[B,H,W,3]`.
    """
    return None


class PackedPatchConv(nn.Module):
    """Packed patch convolution on the bytes of an image: uint8 `[B,H,W,3]` -> float32 rows `[B,N,O]`.

    Normalization `(u8/255 - mean)/std` is folded into a scale for each output and input channel and the bias with
    8-bit weights; it is applied first with float weights.
    """

    def __init__(self, conv: nn.Conv2d, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        kernel, stride = tuple(conv.kernel_size), tuple(conv.stride)
        if kernel != stride or kernel[0] != kernel[1] or conv.groups != 1 or conv.padding not in (0, (0, 0), "valid"):
            raise ExportError("only patch convolutions can be packed: square, stride = kernel, no padding, one group")
        self.patch = int(kernel[0])
        mean, std = mean.double(), std.double()
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.quantized = isinstance(conv, layers.QuantizedConv2d)
        if isinstance(conv, layers.QuantizedConv2d):
            weight = conv.integer_weight().permute(0, 2, 3, 1)
            step = conv.step.detach().double().reshape(-1, 1)
            sums = weight.double().sum(dim=(1, 2))
            bias = bias.double() - (step * sums * (mean / std)).sum(dim=1)
            self.register_buffer("weight", weight.to(torch.int8).contiguous())
            self.register_buffer("scale", (step / (255.0 * std)).float())
        else:
            self.register_buffer("weight", conv.weight.detach().permute(0, 2, 3, 1).float().contiguous())
            self.register_buffer("mul", (1.0 / (255.0 * std)).float())
            self.register_buffer("add", (-mean / std).float())
        self.register_buffer("bias", bias.float())

    def forward(self, image: Tensor) -> Tensor:
        rows: Tensor
        if self.quantized:
            rows = ops.patch_conv_u8(image, self.weight, self.scale, self.bias, self.patch)
        else:
            normalized = ops.image_to_float(image, self.mul, self.add)
            rows = ops.patch_conv_f32(normalized, self.weight, self.bias, self.patch)
        return rows


class PackedPyramidStem(nn.Module):
    """Packed `PyramidStem`: uint8 `[B,h p,w p,3]` -> map `[B,h,w,C]`."""

    def __init__(self, layer: PyramidStem, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.conv = PackedPatchConv(layer.conv, mean, std)
        self.norm = pack_child(layer.norm)
        self.activation = layer.activation
        self.position = layer.position

    def forward(self, image: Tensor) -> Tensor:
        x: Tensor = self.position(self.activation(self.norm(self.conv(image))))
        return x.reshape(len(x), *self.position.size, x.shape[-1])


class PackedPatchEmbed(nn.Module):
    """Packed timm `PatchEmbed`: uint8 `[B,h p,w p,3]` -> normalized rows `[B,h w,C]`, or a map `[B,h,w,C]`."""

    def __init__(self, layer: PatchEmbed, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.conv = PackedPatchConv(layer.proj, mean, std)
        self.norm = pack_child(layer.norm)
        self.grid = None if layer.flatten else layer.grid_size

    def forward(self, image: Tensor) -> Tensor:
        rows: Tensor = self.norm(self.conv(image))
        return rows if self.grid is None else rows.reshape(len(rows), *self.grid, rows.shape[-1])


@pack_stem.register
def _(layer: PatchEmbed, mean: Tensor, std: Tensor) -> tuple[nn.Module, tuple[int, int]]:
    if layer.img_size is None or layer.dynamic_img_pad:
        raise ExportError("a patch embedding without a fixed image size cannot be packed")
    if not layer.flatten and layer.output_fmt != Format.NHWC:
        raise ExportError('a patch embedding that keeps its map can be packed with output_fmt="NHWC" only')
    height, width = layer.img_size
    is_plain = layer.flatten and isinstance(layer.norm, nn.Identity)
    packed = PackedPatchConv(layer.proj, mean, std) if is_plain else PackedPatchEmbed(layer, mean, std)
    return packed, (int(height), int(width))


@pack_stem.register
def _(layer: PyramidStem, mean: Tensor, std: Tensor) -> tuple[nn.Module, tuple[int, int]]:
    height, width = layer.position.size
    patch = int(layer.conv.kernel_size[0])
    return PackedPyramidStem(layer, mean, std), (height * patch, width * patch)
