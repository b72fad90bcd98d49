"""Module that makes the values V binary with GSB (Eq. 26-34)."""

import torch
from torch import Tensor, nn

from bitvit.layers.staged import enable_gradients
from bitvit.quantizers import Positive, at_least_float32, component_factors, fit_value_scales, gsb_value


class GsbValueBinarizer(nn.Module):
    """Group superposition binarization of values: ``sum_i b_i sign(V - Omega) M_i``.

    The formulas and gradients are in `bitvit.quantizers.gsb_value`.

    Args:
        num_heads: heads H.
        head_dim: channels of a head D.
        components: number of extra components k_v (Table VI), 0 or more.

    Attributes:
        omega: parameter ``[H, 1, D]``, subtracted, initially 0.
        scales: effective positive ``b_0 .. b_k`` (the parameter is ``raw_scales``).
        factors: ``c_1 .. c_k``.

    Shape: ``[B, H, N, D]``, both.

    Source: GSB Eq. 26-34.
    """

    scales = Positive()

    def __init__(self, num_heads: int, head_dim: int, components: int = 2) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.factors = component_factors(components)
        self.omega = nn.Parameter(torch.zeros(num_heads, 1, head_dim))
        self.raw_scales = nn.Parameter(torch.ones(components + 1))

    def forward(self, value: Tensor) -> Tensor:
        return gsb_value(at_least_float32(value), self.scales, self.factors, self.omega)

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`; switching itself is the attention's."""
        enable_gradients(self.parameters(), enabled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the scales by Eq. 34 from values ``[B, H, N, D]``."""
        self.scales = fit_value_scales(at_least_float32(x) - self.omega, self.factors)

    def extra_repr(self) -> str:
        return f"heads={self.num_heads}, head_dim={self.head_dim}, components={len(self.factors)}"
