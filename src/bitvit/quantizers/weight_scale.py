"""The scale of binary weights with one scale a tensor (GSB Eq. 2)."""

from torch import Tensor

# An all-zero weight has the mean magnitude 0; this floor (far below float32's resolution of any real weight) keeps its
# gradient.
_MIN_WEIGHT_SCALE = 1e-12


def weight_scale(weight: Tensor) -> Tensor:
    """``mean(|W|)``, positive, of the weights before centring; a scalar without a gradient."""
    return weight.detach().abs().mean().clamp_min(_MIN_WEIGHT_SCALE)
