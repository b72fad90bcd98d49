"""Attention quantizers with learned levels: BinaryViT's, and BHViT's decomposition and banded masks.

Each maps probabilities ``[B, H, N, M]`` to levels of the same shape and a scale that broadcasts over them; the
quantized attention is their product. A caller multiplies values with the levels, which are small integers where
possible, and applies the scale afterwards, as a packed engine does.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from bitvit.layers.staged import enable_gradients
from bitvit.quantizers.banded_mask import banded_mask
from bitvit.quantizers.clipped_mask import clipped_mask
from bitvit.quantizers.decomposition import decompose_attention, initial_decomposition

AttentionQuantizerKind = Literal["clipped", "decomposed", "banded"]

INITIAL_CLIP = 0.005


class ClippedMaskQuantizer(nn.Module):
    """`clipped_mask` with its learned level (scalar, initially 0.005).

    Shape: probabilities ``[B, H, N, M]`` -> levels ``[B, H, N, M]`` and their scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clip = nn.Parameter(torch.tensor(INITIAL_CLIP))
        self.binarize_input = True

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`."""
        self.binarize_input = enabled
        enable_gradients(self.parameters(), enabled)

    def forward(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize to {0, 1} and the level."""
        if not self.binarize_input:
            return probabilities, probabilities.new_ones(())
        return clipped_mask(probabilities, self.clip), self.clip


class DecomposedQuantizer(nn.Module):
    """`decompose_attention` with a learned step and zero point for each head.

    `bitvit.layers.calibrate` sets them from data before training; a forward pass never changes them.

    Args:
        num_heads: H.

    Shape: probabilities ``[B, H, N, M]`` -> levels ``[B, H, N, M]`` and their scale.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.ones(num_heads))
        self.zero_point = nn.Parameter(torch.full((num_heads,), 0.5))
        self.binarize_input = True

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`."""
        self.binarize_input = enabled
        enable_gradients(self.parameters(), enabled)

    @torch.no_grad()
    def calibrate(self, probabilities: Tensor) -> None:
        """Set step and zero point from attention probabilities ``[B, H, N, M]`` (see `initial_decomposition`)."""
        step, zero_point = initial_decomposition(probabilities, self.zero_point)
        self.step.copy_(step)
        self.zero_point.copy_(zero_point)

    def forward(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize to {0, 1, 2, 3} and the steps."""
        if not self.binarize_input:
            return probabilities, probabilities.new_ones(())
        return decompose_attention(probabilities, self.step, self.zero_point)


class BandedMaskQuantizer(nn.Module):
    """`banded_mask` with its three learned scalars.

    Shape: probabilities ``[B, H, N, M]`` -> levels ``[B, H, N, M]`` and their scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(INITIAL_CLIP))
        self.lower = nn.Parameter(torch.tensor(1.0))
        self.upper = nn.Parameter(torch.tensor(1.0))
        self.binarize_input = True

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`."""
        self.binarize_input = enabled
        enable_gradients(self.parameters(), enabled)

    def forward(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize to {0, 1, lower, upper}, minus 1 where a band fires below the base threshold, and the scale."""
        if not self.binarize_input:
            return probabilities, probabilities.new_ones(())
        return banded_mask(probabilities, self.scale, self.lower, self.upper), self.scale


def make_attention_quantizer(kind: AttentionQuantizerKind, num_heads: int) -> nn.Module:
    """Return a new attention quantizer of the named kind."""
    if kind == "clipped":
        return ClippedMaskQuantizer()
    return DecomposedQuantizer(num_heads) if kind == "decomposed" else BandedMaskQuantizer()
