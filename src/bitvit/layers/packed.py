"""Building blocks of packed layers: stored bits and folded constants, run by `torch.ops.bitvit` operators.

A layer's packed twin is beside the layer, in its file. Maps ``[B, H, W, C]`` travel as rows ``[B, H W, C]``.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from bitvit.quantizers.packed_forms import InputBits, InputCodes

ops = torch.ops.bitvit


def pack_sign_bits(signs: Tensor) -> Tensor:
    """Pack a {-1, +1} tensor along its last axis: ``[..., K]`` -> uint8 ``[..., ceil(K/8)]``.

    Bit 1 stands for -1, the lowest bit of a byte for the first number.
    """
    bits = (signs.detach() < 0).cpu().numpy()
    return torch.from_numpy(np.packbits(bits, axis=-1, bitorder="little"))


def exponential_table(head_dim: int, score_scale: float) -> Tensor:
    """Exponentials of a softmax over binary scores: float32 `[D+1]`, entry j = exp(-2 j score_scale).

    A score is `score_scale * (D - 2 p)` with p the popcount of the differing bits, so relative to the row's smallest p
    the exponent is `-2 score_scale (p - p_min)`. Computed once, in float64, at export: the engine needs no exp.
    """
    return torch.tensor([math.exp(-2.0 * score_scale * j) for j in range(head_dim + 1)], dtype=torch.float64).float()


def as_vector(value: Tensor | float, length: int) -> Tensor:
    """A float32 vector of `length` filled with a scalar, or a copy of a vector that has that length."""
    tensor = torch.as_tensor(value, dtype=torch.float64).detach().cpu().reshape(-1)
    return tensor.expand(length).float().clone() if tensor.numel() == 1 else tensor.float().clone()


def as_rows(x: Tensor) -> Tensor:
    """A map `[B,H,W,C]` as rows `[B,H W,C]`; rows stay as they are."""
    return x.flatten(1, -2) if x.ndim == 4 else x


def like_map(rows: Tensor, x: Tensor) -> Tensor:
    """Rows in the map shape of `x`, with their own number of channels."""
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


def grid_of(x: Tensor) -> list[int]:
    """Height and width of a map `[B,H,W,C]`."""
    return [int(x.shape[1]), int(x.shape[2])]


class PackedAffine(nn.Module):
    """`x scale + bias` per channel: LayerScale, or a BatchNorm in evaluation. Any leading axes."""

    def __init__(self, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale.detach().float().clone())
        self.register_buffer("bias", bias.detach().float().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., C]``, float32, to the same shape."""
        return like_map(ops.affine(as_rows(x), self.scale, self.bias), x)


class PackedBits(nn.Module):
    """An activation to bits: rows `[B,N,C]` -> bits, split into heads where `num_heads` is given.

    Attributes:
        by_image: the thresholds are the statistics of each image.
    """

    threshold: Tensor

    def __init__(self, form: InputBits, channels: int, num_heads: int = 0) -> None:
        super().__init__()
        self.kind = form.kind
        self.num_heads = num_heads
        self.by_image = form.threshold is None
        self.register_buffer("threshold", as_vector(0.0 if form.threshold is None else form.threshold, channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the bits, and the statistics that they were compared with."""
        if self.by_image:
            stats = ops.statistics(x)
            if self.kind == "mask":
                return ops.mask_statistics(x, stats), stats
            return ops.sign_statistics(x, stats, self.num_heads), stats
        if self.kind == "mask":
            return ops.mask(x, self.threshold), None
        return ops.sign(x, self.threshold, self.num_heads), None


class PackedBinaryLinear(nn.Module):
    """Binary weights times bits: float32 `[B,N,K]` or `[B,H,W,K]` -> float32 `[...,O]`; or from bits, see `from_bits`.

    The scales of input and weights become one factor per channel (GSB Eq. 1): `y = (beta alpha) z + bias`.

    Args:
        signs: {-1, +1} `[O,K]`.
        scale: of the weights, one value or `[O]`.
        bias: `[O]` or None.
        inputs: how the input becomes bits.
    """

    def __init__(self, signs: Tensor, scale: Tensor, bias: Tensor | None, inputs: InputBits) -> None:
        super().__init__()
        n_outputs = len(signs)
        self.in_features = int(signs.shape[1])
        self.bits = PackedBits(inputs, self.in_features)
        self.scaled_by_image = inputs.scaled_by_image
        if inputs.scale is not None:
            scale = scale.double() * inputs.scale
        self.register_buffer("weight", pack_sign_bits(signs))
        self.register_buffer("scale", as_vector(scale, n_outputs))
        self.register_buffer("bias", as_vector(0.0 if bias is None else bias, n_outputs))
        self.register_buffer("zero", torch.zeros(n_outputs))

    def from_bits(self, bits: Tensor, stats: Tensor | None) -> Tensor:
        """The product and its epilogue."""
        if stats is None or not self.scaled_by_image:
            y: Tensor = ops.binary_linear(bits, self.weight, self.scale, self.bias, self.in_features, self.bits.kind)
            return y
        y = ops.binary_linear(bits, self.weight, self.scale, self.zero, self.in_features, self.bits.kind)
        y = ops.scale_by(y, stats, 1) + self.bias
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, N, K]`` or ``[B, H, W, K]``, float32, to the same axes with O channels."""
        y = self.from_bits(*self.bits(as_rows(x)))
        return like_map(y, x) if x.ndim == 4 else y


class PackedCodeLinear(nn.Module):
    """8-bit weights times 8-bit codes: float32 `[B,K]`, `[B,N,K]` or `[B,H,W,K]` -> float32 `[...,O]`.

    Args:
        codes: int8 `[O,K]`.
        step: of the weights, one value or `[O]`.
        bias: `[O]` or None.
        inputs: how the input becomes codes.
    """

    def __init__(self, codes: Tensor, step: Tensor, bias: Tensor | None, inputs: InputCodes) -> None:
        super().__init__()
        n_outputs, n_inputs = codes.shape
        input_step = inputs.step.double().reshape(1)
        self.register_buffer("shift", as_vector(inputs.shift, n_inputs))
        self.register_buffer("step", input_step.float())
        self.register_buffer("weight", codes)
        self.register_buffer("scale", as_vector(step.double() * input_step, n_outputs))
        self.register_buffer("bias", as_vector(0.0 if bias is None else bias, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, K]``, ``[B, N, K]`` or ``[B, H, W, K]``, float32, to the same axes with O channels."""
        rows = x[:, None] if x.ndim == 2 else as_rows(x)
        y: Tensor = ops.linear_i8(rows, self.shift, self.step, self.weight, self.scale, self.bias)
        if x.ndim == 2:
            return y[:, 0]
        return like_map(y, x) if x.ndim == 4 else y
