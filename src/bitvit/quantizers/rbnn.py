"""RBNN: filters rotated towards their signs, and a piecewise polynomial gradient that sharpens during training."""

import math

import torch
from torch import Tensor, nn

from bitvit.quantizers.estimator import ActivationEstimator, Quantized, WeightEstimator
from bitvit.quantizers.scheduled import ScheduledEstimator, scheduled_sign
from bitvit.quantizers.triangular_sign import hard_sign

_LOG_T_FIRST, _LOG_T_LAST = -2.0, 1.0
_CYCLES = 3


def training_aware_estimate(x: Tensor, progress: Tensor) -> Tensor:
    """``max(0, k (sqrt(2) t - t^2 |x|))``, the gradient of the sign at this point of training."""
    t = 10 ** (_LOG_T_FIRST + (_LOG_T_LAST - _LOG_T_FIRST) * progress)
    k = (1 / t).clamp_min(1)
    return (k * (math.sqrt(2) * t - t.square() * x.abs())).clamp_min(0)


def training_aware_sign(x: Tensor, progress: Tensor) -> Tensor:
    """Sign with the training-aware approximation.

    Forward: ``y = -1 where x < 0, else +1``. Backward: ``dL/dx = dL/dy F'(x)`` with
    ``F(x) = k (sqrt(2) t x - sign(x) t^2 x^2 / 2)`` for ``|x| < sqrt(2)/t`` and constant beyond,
    ``t = 10^(-2 + 3 progress)``, ``k = max(1/t, 1)``.

    Args:
        x: values of any shape.
        progress: share of the epochs that are over, a scalar in [0, 1].

    Source: Lin et al., "Rotated Binary Neural Network", NeurIPS 2020, Eq. 13-15.
    """
    return scheduled_sign(x, progress, training_aware_estimate)


def nearly_square(size: int) -> tuple[int, int]:
    """The two factors ``a <= b`` of ``size`` that are closest to each other."""
    a = next(a for a in range(math.isqrt(size), 0, -1) if size % a == 0)
    return a, size // a


def rotated(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Each filter as a matrix ``[a, b]``, rotated: ``left^T W_o right``, in the shape of ``weight``."""
    matrices = weight.reshape(len(weight), left.shape[0], right.shape[0])
    return (left.t() @ matrices @ right).view_as(weight)


def rotated_weight_signs(
    weight: Tensor, left: Tensor, right: Tensor, angle: Tensor, progress: Tensor
) -> tuple[Tensor, Tensor]:
    """Binarize filters after moving them towards their rotation; the binary weight is signs times scale.

    Forward: ``u = w + |sin(angle)| (R(w) - w)`` with ``R`` as in `rotated`, ``sign(u)``, and ``lambda_o =
    mean_o(|u|)`` (no gradient). Backward of the product (G its gradient): ``dL/du = G lambda_o F'(u)`` as in
    `training_aware_sign`, then to ``w`` and ``angle``; the rotations take no gradient.

    Args:
        weight: ``[O, ...]`` of a * b weights a filter.
        left: orthogonal, ``[a, a]``; set by `fit_rotations`.
        right: orthogonal, ``[b, b]``; likewise.
        angle: learned scalar.
        progress: see `training_aware_sign`.

    Returns:
        Signs in the shape of ``weight`` and scales ``[O]``.

    Source: RBNN, Eq. 6-12. The scale is XNOR-Net's: the paper leaves it open.
    """
    moved = weight + torch.sin(angle).abs() * (rotated(weight, left, right) - weight)
    scale = moved.detach().abs().flatten(1).mean(dim=1)
    return training_aware_sign(moved, progress), scale


@torch.no_grad()
def fit_rotations(weight: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Turn both rotations so that the rotated filters come closer to their signs.

    The objective is ``max sum_o tr(B_o^T R_1^T W_o R_2)``. Alternates three times between ``B = sign(R_1^T W R_2)``,
    ``R_1 = U V^T`` of the singular value decomposition of ``sum_o W_o R_2 B_o^T``, and ``R_2 = U V^T`` of that of
    ``sum_o W_o^T R_1 B_o``. No step lowers the objective.

    Args:
        weight: ``[O, ...]``.
        left: the rotation so far, ``[a, a]``.
        right: the other one, ``[b, b]``.

    Returns:
        The new ``left`` and ``right``.

    Source: RBNN, Eq. 5 and 7-10 (bi-rotation, alternating optimization at the beginning of each epoch).
    """
    matrices = weight.reshape(len(weight), left.shape[0], right.shape[0])
    for _ in range(_CYCLES):
        signs = hard_sign(left.t() @ matrices @ right)
        left = _polar((matrices @ right @ signs.transpose(1, 2)).sum(0))
        right = _polar((matrices.transpose(1, 2) @ left @ signs).sum(0))
    return left, right


def _polar(matrix: Tensor) -> Tensor:
    u, _, vh = torch.linalg.svd(matrix)
    result: Tensor = u @ vh
    return result


class RbnnWeight(ScheduledEstimator, WeightEstimator):
    """`rotated_weight_signs`; the rotations are fitted to the weights at the beginning of each epoch.

    Args:
        filter_size: weights of a filter.

    Attributes:
        angle: learned, starts between the weights (0) and their rotation (pi / 2).
        left: the rotation that a filter is multiplied by from the left, ``[a, a]``.
        right: that from the right, ``[b, b]``.
    """

    left: Tensor
    right: Tensor

    def __init__(self, filter_size: int) -> None:
        super().__init__()
        left, right = nearly_square(filter_size)
        self.angle = nn.Parameter(torch.tensor(torch.pi / 4))
        self.register_buffer("left", torch.eye(left))
        self.register_buffer("right", torch.eye(right))

    def start_epoch(self, progress: float, weight: Tensor | None = None) -> None:
        """Follow the schedule and turn the rotations towards the weights' signs."""
        super().start_epoch(progress, weight)
        if weight is not None:
            left, right = fit_rotations(weight, self.left, self.right)
            self.left.copy_(left)
            self.right.copy_(right)

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs of the rotated weights, ``[O, ...]``, and their scale."""
        return rotated_weight_signs(x, self.left, self.right, self.angle, self.progress)


class RbnnSign(ScheduledEstimator, ActivationEstimator):
    """`training_aware_sign` with the progress of training."""

    def forward(self, x: Tensor) -> Quantized:
        """Return the signs, in the shape of ``x``, without a scale."""
        return training_aware_sign(x, self.progress), None
