"""Quantization decomposition: attention in four levels, which are three nested binary maps (BHViT)."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import AttentionEstimator, Quantized, mean_ratio
from bitvit.quantizers.packed_forms import MaskPlanes, Rules
from bitvit.quantizers.positive import Positive
from bitvit.quantizers.scale_gradients import with_gradient_times

LEVELS = 3
"""Number of binary maps; levels run from 0 to 3."""


class _RoundClip(Function):
    """Round half to even, clip to [0, 3]; the gradient passes where the rounded value is in [0, 3], bounds included."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rounded = torch.round(x)
        ctx.save_for_backward((rounded >= 0) & (rounded <= LEVELS))
        return rounded.clamp(0, LEVELS)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        grad: Tensor = grad_outputs[0] * inside
        return grad


def decompose_attention(probabilities: Tensor, step: Tensor, zero_point: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize attention probabilities to levels 0..3 and a step for each head; the value is their product.

    Forward: ``clip(round(3 p / a + z), 0, 3)`` and ``a``; the level is the sum of three binary maps ``1{level >= j}``,
    which is how a packed engine evaluates it. ``z`` moves the thresholds only and is not subtracted again.
    Backward: round and clip pass the gradient where the rounded value lies in [0, 3], bounds included; the gradients of
    ``a`` and ``z`` are multiplied by ``H / sqrt(3 * numel(p))`` (learned step size).

    Args:
        probabilities: softmax output, ``[B, H, N, M]``.
        step: ``a``, ``[H]``, positive, learned.
        zero_point: ``z``, ``[H]``, learned.

    Returns:
        Levels in the shape of ``probabilities`` and steps ``[H, 1, 1]``.

    Source: BHViT, quantization decomposition (docs/models.md, section 5). Deviation: torch from mid-2026 on gives
    gradient 0 exactly on a clamp's bounds; the bounds are inclusive here, as the authors trained.
    """
    factor = step.numel() / math.sqrt(LEVELS * probabilities.numel())
    scaled_step = with_gradient_times(step, factor)
    scaled_zero = with_gradient_times(zero_point, factor)
    a, z = scaled_step.view(-1, 1, 1), scaled_zero.view(-1, 1, 1)
    levels: Tensor = _RoundClip.apply(probabilities * LEVELS / a + z)
    return levels, a


@torch.no_grad()
def initial_decomposition(probabilities: Tensor, zero_point: Tensor) -> tuple[Tensor, Tensor]:
    """Return the initial step and zero point, ``[H]`` each, for attention probabilities ``[B, H, N, M]``.

    ``a = 2 mean(3 p) / sqrt(3)`` and ``z = 0.9 z + 0.1 min(3 p)``, each for one head (docs/models.md, section 5).
    """
    scaled = probabilities * LEVELS
    step = 2 * scaled.mean(dim=(0, 2, 3)) / math.sqrt(LEVELS)
    return step, 0.9 * zero_point + 0.1 * scaled.amin(dim=(0, 2, 3))


class DecomposedAttention(AttentionEstimator):
    """`decompose_attention` with a learned step and zero point for each head.

    Args:
        num_heads: H.

    Attributes:
        step: effective positive steps ``[H]`` (the parameter is ``log_step``).
        zero_point: parameter ``[H]``.
    """

    planes = LEVELS
    flops_per_element = 4  # multiply-add, round, two limits
    step = Positive()

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.step = torch.ones(num_heads)
        self.zero_point = nn.Parameter(torch.full((num_heads,), 0.5))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set step and zero point from attention probabilities ``[B, H, N, M]`` (see `initial_decomposition`)."""
        self.step, zero_point = initial_decomposition(x, self.zero_point)
        self.zero_point.copy_(zero_point)

    def forward(self, x: Tensor) -> Quantized:
        """Return the levels of `decompose_attention`, ``[B, H, N, M]``, and the step of each head."""
        return decompose_attention(x, self.step, self.zero_point)

    def real_value(self, x: Tensor) -> Quantized:
        """Return the probabilities and the factor that gives them the mean of their levels, ``[B, 1, 1, 1]``."""
        return x, mean_ratio(self, x)

    def mask_planes(self, num_heads: int) -> MaskPlanes:
        """Level >= j of ``round(3 p / a + z)``, half to even: 1.5 rounds up, 0.5 and 2.5 round down."""
        self.check_enabled()
        step, zero = self.step.detach().double(), self.zero_point.detach().double()
        levels = torch.arange(1, LEVELS + 1, dtype=torch.float64)[:, None]
        rules: Rules = [["at_least"] if j % 2 == 0 else ["greater"] for j in range(1, LEVELS + 1)]
        return MaskPlanes(rules, step.expand(LEVELS, -1), (levels - 0.5 - zero) * step / LEVELS)
