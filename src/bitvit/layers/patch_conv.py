"""Packed patch convolution: what takes the bytes of an image, with the normalization folded in or applied first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitvit.errors import ExportError
from bitvit.layers.packed import ops
from bitvit.layers.quant_conv import QuantConv2d
from bitvit.quantizers.learned_step import StepWeight


class PackedPatchConv(nn.Module):
    """Packed patch convolution on the bytes of an image: uint8 `[B,H,W,I]` -> float32 rows `[B,N,O]`.

    Normalization `(u8/255 - mean)/std` is folded into a scale for each output and input channel and the bias with
    8-bit weights; it is applied first with float weights.

    Args:
        conv: with stride = kernel.
        mean: of each image channel, `[I]`.
        std: likewise, `[I]`.

    Raises:
        ExportError: not a patch convolution, or of an estimator that has no packed form here.
    """

    def __init__(self, conv: nn.Conv2d, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        kernel, stride = tuple(conv.kernel_size), tuple(conv.stride)
        if kernel != stride or kernel[0] != kernel[1] or conv.groups != 1 or conv.padding not in (0, (0, 0), "valid"):
            raise ExportError("only patch convolutions can be packed: square, stride = kernel, no padding, one group")
        if len(mean) != conv.in_channels:
            raise ExportError(f"the first layer takes {conv.in_channels} channels, the normalization has {len(mean)}")
        self.patch = int(kernel[0])
        mean, std = mean.double(), std.double()
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.quantized = isinstance(conv, QuantConv2d)
        if isinstance(conv, QuantConv2d):
            if not isinstance(conv.weight_quantizer, StepWeight) or conv.input_quantizer is not None:
                raise conv.no_packed_form(
                    "a first layer has real or 8-bit weights (StepWeight) and takes the image as it is"
                )
            weight = conv.weight_quantizer.codes(conv.weight).permute(0, 2, 3, 1)
            step = conv.weight_quantizer.steps(conv.weight).detach().double().expand(len(weight)).reshape(-1, 1)
            sums = weight.double().sum(dim=(1, 2))
            bias = bias.double() - (step * sums * (mean / std)).sum(dim=1)
            self.register_buffer("weight", weight.contiguous())
            self.register_buffer("scale", (step / (255.0 * std)).float())
        else:
            self.register_buffer("weight", conv.weight.detach().permute(0, 2, 3, 1).float().contiguous())
            self.register_buffer("mul", (1.0 / (255.0 * std)).float())
            self.register_buffer("add", (-mean / std).float())
        self.register_buffer("bias", bias.float())

    def forward(self, image: Tensor) -> Tensor:
        """Map image bytes, uint8 ``[B, H, W, I]``, to the rows of their patches, float32 ``[B, N, O]``."""
        rows: Tensor
        if self.quantized:
            rows = ops.patch_conv_u8(image, self.weight, self.scale, self.bias, self.patch)
        else:
            normalized = ops.image_to_float(image, self.mul, self.add)
            rows = ops.patch_conv_f32(normalized, self.weight, self.bias, self.patch)
        return rows
