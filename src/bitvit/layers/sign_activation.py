"""Binary queries, keys and (in the baseline) values (GSB Eq. 4, 7 and section IV-C)."""

import torch
from torch import Tensor, nn

from bitvit.layers.binary_linear import Statistics
from bitvit.layers.staged import enable_gradients
from bitvit.quantizers import Positive, at_least_float32, fit_sign_scale, image_statistics, learned_sign, sign_ste


class SignActivation(nn.Module):
    """Sign of a per-head activation.

    ``learned``: ``s * sign(x + shift)``. ``xnor``: ``beta * sign(x - mu)`` with the image's own mean and mean
    magnitude; with ``scaled=False`` the factor beta is left out, as Eq. 7 has it for queries and keys.

    Args:
        num_heads: heads H.
        head_dim: channels of a head D.
        statistics: source of translation and scale.
        scaled: multiply by beta (xnor only).

    Attributes:
        shift: ``[H, 1, D]``, added, initially 0 (learned only).
        scale: effective positive scalar s (learned only; the parameter is ``raw_scale``).

    Shape: ``[B, H, N, D]``, both.

    Source: GSB section IV-C (end) for learned, Eq. 1, 2, 4 and 7 for xnor. Gradients: Eq. 5, and Eq. 28-29 for the
    scale.
    """

    scale = Positive()

    def __init__(self, num_heads: int, head_dim: int, statistics: Statistics = "learned", scaled: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.statistics = statistics
        self.scaled = scaled or statistics == "learned"
        if statistics == "learned":
            self.shift = nn.Parameter(torch.zeros(num_heads, 1, head_dim))
            self.raw_scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        x = at_least_float32(x)
        if self.statistics == "learned":
            return learned_sign(x, self.scale, self.shift)
        mean, magnitude = image_statistics(x)
        return learned_sign(x, magnitude, -mean) if self.scaled else sign_ste(x - mean)

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; switching itself is the attention's."""
        enable_gradients(self.parameters(), enabled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the scale to its least-squares value on ``x``."""
        if self.statistics == "learned":
            self.scale = fit_sign_scale(at_least_float32(x) + self.shift)

    def extra_repr(self) -> str:
        return f"heads={self.num_heads}, head_dim={self.head_dim}, statistics={self.statistics}, scaled={self.scaled}"
