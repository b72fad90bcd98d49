"""Binary convolution with the estimators that the paper's tables compare: XNOR-Net to ReActNet."""

from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitvit.quantizers.bireal import magnitude_aware_signs
from bitvit.quantizers.ir_net import decayed_sign, libra_weight_signs
from bitvit.quantizers.rbnn import fit_rotations, nearly_square, rotated_weight_signs, training_aware_sign
from bitvit.quantizers.reactnet import reactnet_weight_signs, rsign
from bitvit.quantizers.recu import recu_weight_signs, scheduled_tau
from bitvit.quantizers.sign import sign_ste
from bitvit.quantizers.triangular_sign import triangular_sign
from bitvit.quantizers.xnor_net import xnor_input_scale, xnor_weight_signs

Estimator = Literal["xnor", "bireal", "irnet", "rbnn", "recu", "reactnet"]
"""Whose forward and backward formulas a binary convolution uses; one file each in `bitvit.quantizers`."""


@runtime_checkable
class ScheduledLayer(Protocol):
    """A layer whose gradient depends on how far training is."""

    def start_epoch(self, progress: float) -> None:
        """Prepare for an epoch; ``progress`` is the share of the epochs that are over, in [0, 1)."""


class EstimatedConv2d(nn.Module):
    """Convolution of signs with binary filters, by one of the compared methods.

    ``y = conv(sign(x), signs(W)) * scale_o`` (XNOR-Net: ``* K``, the input's own scale, too). Zeros pad after the sign.

    Args:
        in_channels: C. out_channels: O. kernel_size: height and width. stride: step. padding: zeros on each side.
        estimator: the method.

    Attributes:
        weight: ``[O, C, h, w]``.
        threshold: ``[C, 1, 1]``, of ReActNet's RSign; else None.
        angle: scalar, ``rotation_left``, ``rotation_right``: of RBNN; else None.
        progress: share of the epochs that are over; decides gradients only.
        binarize_input: False in stage 1, where the input stays real.

    Shape: ``[B, C, H, W] -> [B, O, H', W']``.

    Source: the papers are named in the quantizers' files.
    """

    progress: Tensor
    rotation_left: Tensor | None
    rotation_right: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        estimator: Estimator = "bireal",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.estimator: Estimator = estimator
        self.binarize_input = True
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.threshold = nn.Parameter(torch.zeros(in_channels, 1, 1)) if estimator == "reactnet" else None
        self.register_buffer("progress", torch.zeros(()), persistent=False)
        left, right = nearly_square(in_channels * kernel_size**2)
        rotates = estimator == "rbnn"
        # The angle starts between the weights (0) and their rotation (pi / 2).
        self.angle = nn.Parameter(torch.tensor(torch.pi / 4)) if rotates else None
        self.register_buffer("rotation_left", torch.eye(left) if rotates else None)
        self.register_buffer("rotation_right", torch.eye(right) if rotates else None)

    def start_epoch(self, progress: float) -> None:
        """See `ScheduledLayer`; RBNN also fits its rotations to the weights."""
        self.progress.fill_(progress)
        if self.rotation_left is not None and self.rotation_right is not None:
            left, right = fit_rotations(self.weight, self.rotation_left, self.rotation_right)
            self.rotation_left.copy_(left)
            self.rotation_right.copy_(right)

    def binary_weight(self) -> tuple[Tensor, Tensor]:
        """Return the weights' signs ``[O, C, h, w]`` and scales ``[O]``, with their training gradient."""
        weight = self.weight
        if self.estimator == "xnor":
            return xnor_weight_signs(weight)
        if self.estimator == "bireal":
            return magnitude_aware_signs(weight)
        if self.estimator == "irnet":
            return libra_weight_signs(weight, self.progress)
        if self.estimator == "recu":
            signs, scale = recu_weight_signs(weight.flatten(1), scheduled_tau(self.progress))
            return signs.view_as(weight), scale
        if self.estimator == "reactnet":
            return reactnet_weight_signs(weight)
        assert self.rotation_left is not None
        assert self.rotation_right is not None
        assert self.angle is not None
        return rotated_weight_signs(weight, self.rotation_left, self.rotation_right, self.angle, self.progress)

    def input_signs(self, x: Tensor) -> Tensor:
        """Return the signs of the input with their training gradient."""
        if self.threshold is not None:
            return rsign(x, self.threshold)
        if self.estimator == "xnor":
            return sign_ste(x)
        if self.estimator == "irnet":
            return decayed_sign(x, self.progress)
        return training_aware_sign(x, self.progress) if self.estimator == "rbnn" else triangular_sign(x)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve a map."""
        signs, scale = self.binary_weight()
        real = x if self.threshold is None or self.binarize_input else x - self.threshold
        bits = self.input_signs(x) if self.binarize_input else real
        y = F.conv2d(bits, signs, None, self.stride, self.padding) * scale[:, None, None]
        if self.estimator == "xnor" and self.binarize_input:
            y = y * xnor_input_scale(x, self.kernel_size, self.stride, self.padding)
        return y

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`."""
        self.binarize_input = enabled

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {len(self.weight)}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, estimator={self.estimator}"
        )
