"""Modules that make attention probabilities binary: GSB (Eq. 9-25) and the XNOR baseline (Eq. 7 and 8)."""

from typing import Literal

import torch
from torch import Tensor, nn

from bitvit.layers.binary_linear import TypeA
from bitvit.layers.staged import enable_gradients
from bitvit.quantizers import (
    AttentionBase,
    Positive,
    at_least_float32,
    component_factors,
    fake_integer_offset,
    fit_attention_scales,
    gsb_attention,
    quantize_offset,
    xnor_attention,
)

Offset = Literal["none", "mean", "row", "full"]
"""The offset Phi of Eq. 9 and Table VII: 0, mean(A), learned ``[H, N]``, learned ``[H, N, N]``."""

BaseMap = Literal["round", "mask"]
"""The base map A_bin of Table VIII: Eq. 11, or defined like the masks M_i."""


class GsbAttentionBinarizer(nn.Module):
    """Group superposition binarization of attention: ``a_0 A_bin + sum_i a_i M_i`` of ``A - Phi``.

    The formulas and gradients are in `bitvit.quantizers.gsb_attention`. As each row of A is a softmax, ``mean(A)`` is
    ``1/N``.

    Args:
        num_heads: heads H.
        num_tokens: tokens N, of queries and of keys.
        components: number of extra components k_a (Table VI), 0 or more.
        offset: kind of Phi.
        offset_bits: 8 trains a learned Phi with the rounding of its 8-bit storage (one scale a head), 32 stores it in
            float32.
        base: definition of A_bin.
        type_a: ``"sign"`` replaces Eq. 11 by the sign (Table V); only with base ``"round"``.

    Attributes:
        offset: parameter Phi, subtracted, initially 0; None where it is not learned.
        scales: effective positive ``a_0 .. a_k`` (the parameter is ``raw_scales``).
        factors: ``c_1 .. c_k``.

    Shape: ``[B, H, N, N]``, both.

    Source: GSB Eq. 9-25; Tables V-VIII.
    """

    scales = Positive()

    def __init__(
        self,
        num_heads: int,
        num_tokens: int,
        components: int = 2,
        offset: Offset = "full",
        offset_bits: Literal[8, 32] = 8,
        base: BaseMap = "round",
        type_a: TypeA = "round",
    ) -> None:
        super().__init__()
        if type_a == "sign" and base == "mask":
            raise ValueError('type_a="sign" and base="mask" both define the base map: choose one')
        self.num_heads = num_heads
        self.num_tokens = num_tokens
        self.offset_kind = offset
        self.offset_bits = offset_bits
        self.base = base
        self.type_a = type_a
        self.factors = component_factors(components)
        self.raw_scales = nn.Parameter(torch.full((components + 1,), 1.0 / num_tokens))
        shape = (num_heads, num_tokens) if offset == "row" else (num_heads, num_tokens, num_tokens)
        self.offset: nn.Parameter | None = nn.Parameter(torch.zeros(shape)) if offset in ("row", "full") else None

    @property
    def estimator(self) -> AttentionBase:
        """Definition of A_bin for the quantizer."""
        return "sign" if self.type_a == "sign" else self.base

    def integer_offset(self) -> tuple[Tensor, Tensor]:
        """The learned offset as stored with ``offset_bits=8``: int8 in its own shape, and a scale for each head
        ``[H]``."""
        if self.offset is None or self.offset_bits != 8:
            raise ValueError(f"offset {self.offset_kind!r} with offset_bits={self.offset_bits} has no 8-bit form")
        return quantize_offset(at_least_float32(self.offset))

    def effective_offset(self, like: Tensor) -> Tensor | None:
        """Phi as it is subtracted, broadcasting over ``[B, H, N, N]`` in the dtype of ``like``; None where it is 0."""
        if self.offset_kind == "mean":
            return like.new_full((), 1.0 / self.num_tokens)
        if self.offset is None:
            return None
        offset = at_least_float32(self.offset)
        if self.offset_bits == 8:
            offset = fake_integer_offset(offset)
        return offset.unsqueeze(-1) if self.offset_kind == "row" else offset

    def shifted(self, attention: Tensor) -> Tensor:
        """``A_t = A - Phi`` (Eq. 9)."""
        attention = at_least_float32(attention)
        offset = self.effective_offset(attention)
        return attention if offset is None else attention - offset

    def forward(self, attention: Tensor) -> Tensor:
        attention = at_least_float32(attention)
        offset = self.effective_offset(attention)
        return gsb_attention(attention, self.scales, self.factors, self.estimator, offset)

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; switching itself is the attention's."""
        enable_gradients(self.parameters(), enabled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the scales by Eq. 25 from attention probabilities ``[B, H, N, N]``."""
        self.scales = fit_attention_scales(self.shifted(x), self.factors, self.estimator)

    def extra_repr(self) -> str:
        return (
            f"heads={self.num_heads}, tokens={self.num_tokens}, components={len(self.factors)}, "
            f"offset={self.offset_kind}, offset_bits={self.offset_bits}, base={self.estimator}"
        )


class XnorAttentionBinarizer(nn.Module):
    """The baseline's attention: ``gamma * 1{A / gamma > 0.5}``, gamma from each image.

    The formulas are in `bitvit.quantizers.xnor_attention`. Training starts in phase 1 (Eq. 2) and goes on, after
    convergence, in phase 2 (Eq. 8).

    Args:
        patches: number of image patches, the least number of ones that phase 2 must leave.

    Attributes:
        phase: buffer with 1 or 2.

    Shape: ``[B, H, N, N]``, both.

    Source: GSB section III-B.
    """

    phase: Tensor

    def __init__(self, patches: int) -> None:
        super().__init__()
        self.patches = patches
        self.register_buffer("phase", torch.ones((), dtype=torch.int64))

    def forward(self, attention: Tensor) -> Tensor:
        return xnor_attention(at_least_float32(attention), self.phase, self.patches)

    def extra_repr(self) -> str:
        return f"patches={self.patches}"
