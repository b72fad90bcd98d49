"""Quantizers decide at thresholds, so they compute in float32 or better whatever autocast chose for their input."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Return ``x`` in float32 where it is float16 or bfloat16, else ``x`` itself."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
