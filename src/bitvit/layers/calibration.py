"""The explicit pass that gives learned scales their initial values from data."""

from typing import Any

import torch
from torch import Tensor, nn

from bitvit.errors import BitvitError
from bitvit.layers.evaluation_mode import evaluation_mode
from bitvit.quantizers.estimator import Estimator


class CalibrationError(BitvitError):
    """The scales of a model cannot be set from the given images."""


def calibrate(model: nn.Module, images: Tensor) -> None:
    """Set every learned scale of a model from one batch of images.

    One forward pass in evaluation mode without gradients: each estimator fits its scales to what it quantizes just
    before it does, so later layers see inputs that are already quantized as they will be in training (GSB Eq. 21-25 and
    34 for attention and values, least squares for other activations, the covered range for 8-bit inputs and weights).

    Args:
        model: a binarized model in stage 2 (activations binary).
        images: normalized images ``[B, C, H, W]``; some dozens of training images are enough.

    Raises:
        CalibrationError: the batch is empty or not finite, or a layer was not reached (for instance because the model
            is in stage 1).
    """
    if images.dim() == 0 or images.shape[0] == 0:
        raise CalibrationError("calibration needs at least one image, got an empty batch")
    if not bool(torch.isfinite(images).all()):
        raise CalibrationError("calibration images contain NaN or infinity: check the data set and its normalization")
    waiting = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Estimator) and module.is_fitted_to_data
    }
    reached: set[int] = set()

    def fit(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(module, Estimator)
        module.fit(inputs[0])
        reached.add(id(module))

    hooks = [module.register_forward_pre_hook(fit) for module in waiting.values()]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    missed = [name for name, module in waiting.items() if id(module) not in reached]
    if missed:
        raise CalibrationError(
            f"{len(missed)} layers took no part in the forward pass, such as {missed[0]!r}: "
            'calibrate in stage 2, after set_stage(model, "full")'
        )
