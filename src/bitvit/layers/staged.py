"""What a layer offers to the two training stages and to calibration."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.nn import Parameter


@runtime_checkable
class StagedLayer(Protocol):
    """A layer whose weights are binary throughout, and whose activations are real in stage 1 and binary in stage 2."""

    def set_activation_binarization(self, enabled: bool) -> None:
        """Switch the binarization of activations, and the gradients of the parameters that only it uses."""


@runtime_checkable
class CalibratedLayer(Protocol):
    """A layer with learned scales whose initial values come from data."""

    def calibrate(self, x: Tensor) -> None:
        """Set the scales from the layer's input ``x``, batch first."""


def enable_gradients(parameters: Iterator[Parameter] | list[Parameter], enabled: bool) -> None:
    """Set ``requires_grad``: parameters without a part in the forward pass must not wait for a gradient (as DDP
    would)."""
    for parameter in parameters:
        parameter.requires_grad_(enabled)
