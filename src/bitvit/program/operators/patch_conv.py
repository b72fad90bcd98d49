"""Convolutions of patches that do not overlap."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import integer_product, linear_in_order
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray


def _patches(x: AnyArray, patch: int) -> AnyArray:
    """[H, W, C] -> [N, patch, patch, C], non-overlapping, row-major."""
    height, width, channels = x.shape
    grid = x.reshape(height // patch, patch, width // patch, patch, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(-1, patch, patch, channels)


def run_patch_conv_u8(call: Call) -> tuple[AnyArray]:
    """Multiply image bytes by 8-bit weights, patch by patch: a sum of ``scale integer`` over the image channels."""
    patches = _patches(call.inputs[0], call.attrs["patch"])
    weight, scale, bias = call.tensors["weight"], call.tensors["scale"], call.tensors["bias"]
    n_patches, n_outputs, n_channels = patches.shape[0], weight.shape[0], patches.shape[-1]
    y: AnyArray = np.broadcast_to(bias, (n_patches, n_outputs))
    for channel in range(n_channels):
        pixels = patches[..., channel].reshape(n_patches, -1)
        kernel = weight[..., channel].reshape(n_outputs, -1)
        y = y + scale[:, channel] * integer_product(pixels, kernel)
    return (y,)


def run_patch_conv_f32(call: Call) -> tuple[AnyArray]:
    """Multiply a float32 image by float32 weights, patch by patch, sums in order."""
    patches = _patches(call.inputs[0], call.attrs["patch"])
    weight = call.tensors["weight"]
    return (linear_in_order(patches.reshape(len(patches), -1), weight.reshape(len(weight), -1), call.tensors["bias"]),)
