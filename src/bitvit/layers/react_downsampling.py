"""Downsampling between the stages of BinaryViT and BHViT: a 2 x 2 convolution of stride 2, binary or full precision."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge, NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.facts import packed_child
from bitvit.layers.maps import average_pool, channels_first, channels_last
from bitvit.layers.packed import PackedBinaryLinear, PackedBits, as_rows, grid_of, ops
from bitvit.layers.quant_conv import QuantConv2d
from bitvit.layers.react_linear import ReactOptions, draw_weight, tile_channels
from bitvit.layers.rprelu import RPReLU


class PositionEmbedding(nn.Module):
    """Learned embedding added to every token: ``y = x + embedding``.

    Args:
        size: height and width of the map.
        channels: C.
        extra_tokens: class tokens in front.

    Shape: tokens ``[B, N, C] -> [B, N, C]``.
    """

    def __init__(self, size: tuple[int, int], channels: int, extra_tokens: int = 0) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Parameter(torch.empty(1, size[0] * size[1] + extra_tokens, channels))
        nn.init.trunc_normal_(self.embedding, std=0.02)

    @torch.no_grad()
    def resize(self, size: tuple[int, int]) -> None:
        """Resample the embedding to a map of another size; those of class tokens stay."""
        # Importing timm registers the models, which need this module complete.
        from timm.layers import resample_abs_pos_embed

        extra = self.embedding.shape[1] - self.size[0] * self.size[1]
        resampled = resample_abs_pos_embed(self.embedding, list(size), list(self.size), num_prefix_tokens=extra)
        self.embedding = nn.Parameter(resampled, requires_grad=self.embedding.requires_grad)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Add the embedding."""
        return x + self.embedding

    def charge(self, call: Call) -> Charge:
        """Count one operation per element."""
        return Charge(other_flops=call.elements_out)


class BinaryDownsampling(nn.Module):
    """Halve a map and widen its channels with a binary convolution.

    ``h = norm_in(x)``; ``y = rprelu(norm_out(conv_2x2/2(sign(h + shift))) + tile(avgpool_2x2/2(h))) + position``.

    Args:
        in_channels: C.
        out_channels: a multiple of C.
        size: height and width of the output map.
        centre: centre each filter before taking signs (see `ChannelSignWeight`).
        options: shared choices of the network.

    Shape: map ``[B, 2h, 2w, C] -> [B, h, w, C']``.

    Source: docs/models.md, section 3.
    """

    norm_after = ("conv", "norm_out")

    def __init__(
        self, in_channels: int, out_channels: int, size: tuple[int, int], options: ReactOptions, *, centre: bool
    ) -> None:
        super().__init__()
        if out_channels % in_channels:
            raise UsageError(
                f"binary downsampling from {in_channels} to {out_channels} channels is impossible: "
                "each stage's width must be a multiple of the one before"
            )
        self.out_channels = out_channels
        self.norm_in = options.make_norm(in_channels)
        self.conv = QuantConv2d(
            in_channels,
            out_channels,
            2,
            stride=2,
            bias=False,
            weight=options.make_filter(centre),
            input=options.make_sign(in_channels),
            initialize=draw_weight,
        )
        self.norm_out = options.make_norm(out_channels)
        self.activation = RPReLU(out_channels)
        self.position = PositionEmbedding(size, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample a map."""
        h = self.norm_in(x)
        pooled = average_pool(h, (2, 2), (2, 2), (0, 0))
        y = self.activation(self.norm_out(self.conv(h)) + tile_channels(pooled, self.out_channels))
        result: Tensor = self.position(y.flatten(1, 2))
        return torch.unflatten(result, 1, self.position.size)

    def charge(self, call: Call) -> Charge:
        """Count the average pooling and the residual sum."""
        return Charge(other_flops=call.elements_in + call.elements_out)  # the average pooling, the residual sum

    def packed(self) -> nn.Module:
        """Return the layer on bits."""
        return PackedBinaryDownsampling(self)


class FloatDownsampling(NoOwnWork, nn.Module):
    """Halve a map and widen its channels in full precision: ``y = norm_out(conv_2x2/2(norm_in(x))) + position``.

    Args and shape as `BinaryDownsampling`; the convolution has no bias. Source: the ``somefp`` variants.
    """

    norm_after = ("conv", "norm_out")

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int], options: ReactOptions) -> None:
        super().__init__()
        self.norm_in = options.make_norm(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 2, stride=2, bias=False)
        self.norm_out = options.make_norm(out_channels)
        self.position = PositionEmbedding(size, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample a map."""
        y = self.norm_out(channels_last(self.conv(channels_first(self.norm_in(x)))))
        result: Tensor = self.position(y.flatten(1, 2))
        return torch.unflatten(result, 1, self.position.size)

    def packed(self) -> nn.Module:
        """Return the layer on rows of patches."""
        return PackedFloatDownsampling(self)


class PackedBinaryDownsampling(nn.Module):
    """Packed `BinaryDownsampling`: a 2 x 2 patch of bits is one long row of a binary linear layer."""

    def __init__(self, layer: BinaryDownsampling) -> None:
        super().__init__()
        conv = layer.conv
        assert conv.input_quantizer is not None
        form = conv.input_quantizer.packed_bits()
        if form.kind != "sign" or form.threshold is None or form.scaled_by_image:
            raise conv.no_packed_form("binary downsampling takes signs around fixed thresholds")
        signs, scale = conv.packed_signs()
        self.channels = conv.in_channels
        self.times = layer.out_channels // self.channels
        self.norm_in = packed_child(layer.norm_in)
        self.sign = PackedBits(form, self.channels)
        signs = signs.permute(0, 2, 3, 1).flatten(1)
        self.conv = PackedBinaryLinear(signs, scale, None, replace(form, threshold=form.threshold.new_zeros(())))
        self.norm_out = packed_child(layer.norm_out)
        self.activation = packed_child(layer.activation)
        self.position = layer.position

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, 2 H, 2 W, C]``, float32, to ``[B, H, W, C']``."""
        grid = grid_of(x)
        rows = as_rows(self.norm_in(x))
        pooled = ops.repeat_channels(ops.pool(rows, grid, "average", 2, 2, 0), self.times)
        bits = ops.merge_patches_sign(self.sign(rows)[0], grid, 2, self.channels)
        y: Tensor = self.position(self.activation(self.norm_out(self.conv.from_bits(bits, None)) + pooled))
        return y.reshape(len(x), *self.position.size, y.shape[-1])


class PackedFloatDownsampling(nn.Module):
    """`FloatDownsampling` on rows of 2 x 2 patches."""

    def __init__(self, layer: FloatDownsampling) -> None:
        super().__init__()
        self.norm_in = packed_child(layer.norm_in)
        weight = layer.conv.weight.detach().float().permute(0, 2, 3, 1).flatten(1).contiguous()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", torch.zeros(len(weight)))
        self.norm_out = packed_child(layer.norm_out)
        self.position = layer.position

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, 2 H, 2 W, C]``, float32, to ``[B, H, W, C']``."""
        rows = ops.merge_patches(as_rows(self.norm_in(x)), grid_of(x), 2)
        y: Tensor = self.position(self.norm_out(ops.linear_f32(rows, self.weight, self.bias)))
        return y.reshape(len(x), *self.position.size, y.shape[-1])
