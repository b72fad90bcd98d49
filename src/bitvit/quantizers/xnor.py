"""XNOR-Net statistics of an activation, for each image by itself (GSB Eq. 1-4)."""

import torch
from torch import Tensor

from bitvit.quantizers.estimator import ActivationEstimator, Quantized
from bitvit.quantizers.learned_scale import ScaledBits
from bitvit.quantizers.packed_forms import InputBits
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.sign import sign_ste

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


class XnorSign(ScaledBits):
    """``beta sign(x - mu)`` with the statistics of each image (`image_statistics`), which are constants."""

    flops_per_element = 4  # sum for the mean, subtract, sum of magnitudes, divide

    def shift_and_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return each image's ``-mu`` and ``beta``."""
        mean, scale = image_statistics(x)
        return -mean, scale

    def packed(self) -> InputBits:
        """Return bits whose threshold and scale are taken from each image when the model runs."""
        self.check_enabled()
        return InputBits("mask" if self.rounds else "sign", None, scaled_by_image=True)


class XnorRound(XnorSign):
    """``beta 1{(x - mu) / beta > 0.5}``, for non-negative values."""

    rounds = True


class CentredSign(ActivationEstimator):
    """``sign(x - mu)`` with each image's mean and without a scale: the baseline's queries and keys (GSB Eq. 7).

    The gradient is that of `sign_ste`.
    """

    flops_per_element = 4

    def forward(self, x: Tensor) -> Quantized:
        """Return ``sign(x - mu)``, in the shape of ``x``, without a scale."""
        x = at_least_float32(x)
        return sign_ste(x - image_statistics(x)[0]), None

    def real_value(self, x: Tensor) -> Quantized:
        """Return ``(x - mu) / beta``, with each image's statistics."""
        x = at_least_float32(x)
        mean, magnitude = image_statistics(x)
        return (x - mean) / magnitude, None

    def packed(self) -> InputBits:
        """Return signs around the mean of each image."""
        self.check_enabled()
        return InputBits("sign", None)
