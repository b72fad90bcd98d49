"""Bits and constants of packed layers: what turns trained parameters into stored tensors."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def pack_sign_bits(signs: Tensor) -> Tensor:
    """Pack a {-1,+1} tensor along its last axis: `[..., K]` -> uint8 `[..., ceil(K/8)]`, bit 1 means -1,
    little-endian."""
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
