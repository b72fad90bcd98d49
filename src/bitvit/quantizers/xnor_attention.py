"""The baseline's binary attention: one factor gamma for each image, in two training phases (GSB Eq. 7 and 8)."""

import torch
from torch import Tensor

from bitvit.quantizers.estimator import AttentionEstimator, Quantized
from bitvit.quantizers.learned_scale import learned_round, round_bits
from bitvit.quantizers.masks import greater
from bitvit.quantizers.packed_forms import StatisticMasks
from bitvit.quantizers.precision import at_least_float32


def attention_gamma(attention: Tensor, phase: Tensor | int, patches: int) -> Tensor:
    """Scale of each image's attention.

    Phase 1 (Eq. 2): ``g1 = mean(A)``. Phase 2 (Eq. 8): ``g2 = mean of the values above 0.5``; where no value is, or
    where fewer than ``patches`` values of ``A / g2`` exceed 0.5, the image switches back to ``g1``. No gradient.

    Args:
        attention: softmax output ``[B, H, N, M]``.
        phase: 1 or 2.
        patches: number of image patches (tokens without class and distillation token).

    Returns:
        ``gamma`` shaped ``[B, 1, 1, 1]``, positive.

    Source: GSB Eq. 2, 7, 8 and the switch mechanism of section III-B.
    """
    with torch.no_grad():
        axes = (1, 2, 3)
        mean = attention.mean(dim=axes, keepdim=True)
        above = greater(attention, attention.new_full((), 0.5))
        total = (above * attention).sum(dim=axes, keepdim=True)
        mean_above = total / above.sum(dim=axes, keepdim=True).clamp_min(1)
        kept = greater(attention, 0.5 * mean_above).sum(dim=axes, keepdim=True)
        usable = (mean_above > 0) & (kept >= patches)
        is_second = torch.as_tensor(phase, device=attention.device) == 2
        return torch.where(usable & is_second, mean_above, mean)


def xnor_attention(attention: Tensor, phase: Tensor | int, patches: int) -> Tensor:
    """Binarize attention with a factor computed from each image.

    Forward: ``gamma * clip(round(A / gamma), 0, 1)``, gamma as in `attention_gamma`. Backward:
    ``dL/dA = dL/dy * 1{0 < A / gamma < 1}``, gamma taken as a constant.

    Args:
        attention: softmax output ``[B, H, N, M]``.
        phase: 1 or 2.
        patches: number of image patches.

    Returns:
        Values in {0, gamma}, same shape.

    Source: GSB Eq. 7 (its result multiplied by gamma, as beta multiplies an activation in Eq. 1) and Eq. 8.
    """
    return learned_round(attention, attention_gamma(attention, phase, patches))


class XnorAttention(AttentionEstimator):
    """The baseline's attention: bits and factor of `xnor_attention`.

    Training starts in phase 1 (Eq. 2) and goes on, after convergence, in phase 2 (Eq. 8).

    Args:
        patches: number of image patches, the least number of ones that phase 2 must leave.

    Attributes:
        phase: buffer with 1 or 2.

    Source: GSB section III-B.
    """

    flops_per_element = 4
    phase: Tensor

    def __init__(self, patches: int) -> None:
        super().__init__()
        self.patches = patches
        self.register_buffer("phase", torch.ones((), dtype=torch.int64))

    def set_phase(self, phase: int) -> None:
        """Choose how the factor is computed."""
        self.phase.fill_(phase)

    def forward(self, x: Tensor) -> Quantized:
        """Return the bits, ``[B, H, N, M]``, and the factor ``gamma`` of each image."""
        x = at_least_float32(x)
        gamma = attention_gamma(x, self.phase, self.patches)
        return round_bits(x, gamma), gamma

    def mask_planes(self, num_heads: int) -> StatisticMasks:
        """Return one plane whose threshold is taken from each image when the model runs."""
        self.check_enabled()
        return StatisticMasks(int(self.phase), self.patches)

    def set_tokens(self, old: tuple[int, int], new: tuple[int, int], extra: int) -> None:
        """Count other patches."""
        self.patches = new[0] * new[1]

    def extra_repr(self) -> str:
        """Return the number of patches, which ``repr`` shows."""
        return f"patches={self.patches}"
