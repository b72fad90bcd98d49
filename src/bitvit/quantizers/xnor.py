"""XNOR-Net statistics of an activation, for each image by itself (GSB Eq. 1-4)."""

import torch
from torch import Tensor

# Guards the gradient's division for an image whose activation is all zero; far below any real activation's mean
# magnitude.
_MIN_STATISTIC = 1e-12


def image_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean magnitude of each image's activation, over everything but the first axis, without a gradient.

    ``mu = sum(x) / n``, ``beta = sum(|x|) / n``; ``beta`` is taken before centring. The paper does not say what an
    activation's statistics span; here one image, so that an image's result does not depend on its batch.

    Args:
        x: activation, batch first.

    Returns:
        ``mu`` and ``beta > 0``, shaped ``[B, 1, ...]`` to broadcast over ``x``.

    Source: GSB Eq. 2.
    """
    with torch.no_grad():
        axes = tuple(range(1, x.dim()))
        mean = x.mean(dim=axes, keepdim=True)
        magnitude = x.abs().mean(dim=axes, keepdim=True).clamp_min(_MIN_STATISTIC)
    return mean, magnitude
