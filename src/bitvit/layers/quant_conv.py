"""Convolution with quantized weights and inputs, by any estimators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.layers.maps import channels_first, channels_last
from bitvit.layers.packed import PackedBits, as_rows, as_vector, grid_of, like_map, pack_sign_bits
from bitvit.layers.quant_linear import Initialize, QuantizedProduct
from bitvit.quantizers.estimator import ActivationEstimator, WeightEstimator
from bitvit.quantizers.packed_forms import InputBits

ops = torch.ops.bitvit

Size = int | tuple[int, int]


class MapConv2d(nn.Conv2d):
    """A real convolution of a channels-last map: ``[B, H, W, C] -> [B, H', W', O]``."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[B, H, W, C]`` to ``[B, H', W', O]``."""
        return channels_last(super().forward(channels_first(input)))


class QuantConv2d(QuantizedProduct, nn.Conv2d):
    """Convolution with quantized weights and inputs: ``y = s_x s_w conv(levels(x), levels(W)) + bias``.

    Zeros pad **after** the quantization: padded elements contribute 0, not +1 or -1.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: as of ``nn.Conv2d``.
        stride: as of ``nn.Conv2d``.
        padding: as of ``nn.Conv2d``.
        dilation: as of ``nn.Conv2d``.
        groups: as of ``nn.Conv2d``.
        bias: as of ``nn.Conv2d``.
        weight: estimator of the weights.
        input: estimator of the input; None takes it as it is: an image, or signs that several convolutions share.
        channels_last: the input is a map ``[B, H, W, C]``; else ``[B, C, H, W]``.
        initialize: draws the first weights (the bias is 0 then), in place of ``nn.Conv2d``'s way.

    Shape: ``[B, H, W, C] -> [B, H', W', O]``, or channels first.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        weight: WeightEstimator,
        input: ActivationEstimator | None,
        channels_last: bool = True,
        initialize: Initialize | None = None,
        device: Any = None,
    ) -> None:
        device = device if initialize is None else "meta"
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=bias, device=device
        )
        self.channels_last = channels_last
        self.finish(weight, input, initialize)

    @classmethod
    def from_float(
        cls,
        conv: nn.Conv2d,
        *,
        weight: WeightEstimator,
        input: ActivationEstimator | None,
        channels_last: bool = False,
    ) -> QuantConv2d:
        """Return a quantized copy of a convolution; draws no random numbers."""
        layer = cls(
            **_geometry(conv),
            weight=weight,
            input=input,
            channels_last=channels_last,
            device="meta",
        )
        layer.take_parameters(conv)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, O, H', W']``; with ``channels_last`` ``[B, H, W, C]`` to ``[B, H', W', O]``."""
        levels, input_scale = self.quantized_input(x)
        weight, weight_scale = self.weight_quantizer(self.weight)
        image = channels_first(levels) if self.channels_last else levels
        y: Tensor = self._conv_forward(image, weight.to(image.dtype), None)
        if self.channels_last:
            y = channels_last(y)
        for scale, is_by_channel in ((weight_scale, True), (input_scale, False)):
            if scale is not None:
                y = y * (self._by_channel(scale) if is_by_channel else scale)
        y = y if self.bias is None else y + self._by_channel(self.bias)
        return y.to(self.weight.dtype)

    def _by_channel(self, values: Tensor) -> Tensor:
        return values if self.channels_last or values.dim() == 0 else values[:, None, None]

    def charge(self, call: Call) -> Charge:
        """Count the products, and what the estimators take for weights and inputs."""
        return self.product_charge(call.elements_out * self.weight[0].numel(), call.elements_out)

    def float_twin(self) -> nn.Module:
        """Return a real convolution of the same sizes."""
        kind = MapConv2d if self.channels_last else nn.Conv2d
        return kind(**_geometry(self))

    def packed(self) -> nn.Module | None:
        """Return the layer on bits.

        Raises:
            ExportError: weights or inputs are not of one bit, or the inputs are not signs around fixed thresholds.
        """
        if self.input_quantizer is None:
            raise self.no_packed_form("a binary convolution that takes signs is packed by the layer that makes them")
        self._check_packable(self.is_binary)
        form = self.input_quantizer.packed_bits()
        if form.kind != "sign" or form.threshold is None or form.scaled_by_image:
            raise self.no_packed_form("a binary convolution takes signs around fixed thresholds")
        return PackedMapConv(self, form)

    def _check_packable(self, is_binary: bool) -> None:
        kernel, dilation, padding = self.kernel_size, self.dilation, self.padding
        is_square = kernel[0] == kernel[1] and dilation[0] == dilation[1]
        reach = dilation[0] * (kernel[0] // 2)
        keeps_size = kernel[0] % 2 == 1 and padding in ((reach, reach), "same")
        is_plain = self.padding_mode == "zeros" and tuple(self.stride) == (1, 1)
        if not (is_binary and self.channels_last and is_square and keeps_size and is_plain):
            raise self.no_packed_form(
                "a binary convolution can be packed on maps with the channels last, with an input estimator, stride 1, "
                "a square odd kernel and padding = dilation * (kernel // 2); this one is "
                f"({self.in_channels}, {self.out_channels}, kernel_size={kernel}, stride={self.stride}, "
                f"padding={padding}, dilation={dilation}, channels_last={self.channels_last}). "
                "See BinaryDownsampling for strides"
            )


class PackedBinaryConv(nn.Module):
    """Packed `QuantConv2d` of stride 1 on sign bits: bits `[B,N,ceil(C/8)]` -> rows `[B,N,O]`."""

    def __init__(self, layer: QuantConv2d, input_scale: Tensor | None = None) -> None:
        super().__init__()
        signs, scale = layer.packed_signs()
        if input_scale is not None:
            scale = scale.double() * input_scale
        self.channels = layer.in_channels
        self.kernel, self.dilation, self.groups = layer.kernel_size[0], layer.dilation[0], layer.groups
        self.register_buffer("weight", pack_sign_bits(signs.permute(0, 2, 3, 1).flatten(1, 2)))
        self.register_buffer("scale", as_vector(scale, layer.out_channels))
        self.register_buffer("bias", as_vector(0.0 if layer.bias is None else layer.bias, layer.out_channels))

    def forward(self, bits: Tensor, grid: list[int]) -> Tensor:
        """Map sign bits, uint8 ``[B, N, ceil(C / 8)]``, of a map of size ``grid`` to rows, float32 ``[B, N, O]``."""
        rows: Tensor = ops.binary_conv(
            bits, self.weight, self.scale, self.bias, grid, self.channels, self.kernel, self.dilation, self.groups
        )
        return rows


class PackedMapConv(nn.Module):
    """Packed `QuantConv2d` that takes the signs itself and keeps the map's size: map -> map."""

    def __init__(self, layer: QuantConv2d, form: InputBits) -> None:
        super().__init__()
        self.conv = PackedBinaryConv(layer, form.scale)
        self.bits = PackedBits(form, layer.in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map a map, float32 ``[B, H, W, C]``, to ``[B, H, W, O]``."""
        bits, _ = self.bits(as_rows(x))
        return like_map(self.conv(bits, grid_of(x)), x)


def _geometry(conv: nn.Conv2d) -> dict[str, Any]:
    """Return what makes another convolution of the same sizes."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
