"""From a model's description to the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import timm
from timm.models.deit import VisionTransformerDistilled
from torch import nn

from bitvit.checkpoints.errors import ModelError
from bitvit.errors import UsageError
from bitvit.layers import is_staged
from bitvit.models import create_model
from bitvit.models.entrypoints import record_input_size
from bitvit.models.input_channels import normalization
from bitvit.models.output_kind import is_for_pixels
from bitvit.program import Preprocessing
from bitvit.program.schema import Interpolation
from bitvit.text import printable

__all__ = ["ModelSpec", "build_model", "is_binary", "preprocessing_for"]


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again: stored in checkpoints as JSON."""

    name: str
    num_classes: int
    image_size: int | None = None
    scheme: str | dict[str, Any] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def is_binary(model: nn.Module) -> bool:
    """Return whether a model is trained in stages, as those with quantized activations are."""
    return is_staged(model)


def build_model(spec: ModelSpec, *, pretrained: bool = False) -> nn.Module:
    """Build a model with initial weights from PyTorch's generator.

    A distilled model returns both heads' logits in training mode.

    Args:
        spec: what is built.
        pretrained: take timm's pretrained weights instead (see `build_pretrained`).

    Raises:
        ModelError: if the name, an argument or the scheme is wrong.
    """
    kwargs: dict[str, Any] = {"num_classes": spec.num_classes, **spec.kwargs}
    for key in kwargs:
        # timm takes these for itself: it loads files, with pickled code, or makes connections.
        if key in ("checkpoint_path", "cache_dir") or key.startswith("pretrained"):
            raise ModelError(f"model '{printable(spec.name)}': {printable(key)} is no argument of the network itself")
    if spec.image_size is not None:
        kwargs["img_size"] = spec.image_size
    if not timm.is_model(spec.name):
        raise ModelError(
            f"unknown model '{spec.name}': `bitvit models` lists bitvit's own, timm.list_models() all others"
        )
    try:
        model = _create(spec.name, {**kwargs, "scheme": spec.scheme}, pretrained)
    except UsageError as error:
        if spec.scheme is None:
            raise
        raise ModelError(f"model '{spec.name}': {error}") from None
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)
    return model


def _create(name: str, kwargs: dict[str, Any], pretrained: bool) -> nn.Module:
    try:
        model: nn.Module = create_model(name, pretrained=pretrained, **kwargs)
    except UsageError:
        raise
    except (TypeError, ValueError, AssertionError, RuntimeError, LookupError, AttributeError, ArithmeticError) as error:
        if "img_size" in kwargs and "unexpected keyword argument 'img_size'" in str(error):
            # One of timm's convolutional networks, which take images of any size.
            model = _create(name, {key: value for key, value in kwargs.items() if key != "img_size"}, pretrained)
            record_input_size(model, kwargs["img_size"])
            return model
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"model '{name}' cannot be built with {printable(kwargs)}: {printable(reason)}") from None
    return model


def preprocessing_for(
    model: nn.Module,
    crop_fraction: float = 1.0,
    interpolation: Interpolation = "bicubic",
    value_range: tuple[float, float] | None = None,
) -> Preprocessing:
    """Return how images are prepared: the model's input size, channels and normalization, the crop and filter given.

    Args:
        model: a network of bitvit or timm.
        crop_fraction: the shorter side is resized to image size / crop_fraction before the centre is cut out; of no
            effect for segmentation, where the whole image is resized.
        interpolation: filter of the resizing.
        value_range: values of black and white in images deeper than 8 bits.
    """
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    size = getattr(getattr(model, "patch_embed", None), "img_size", None) or config.get("input_size", (3, 224, 224))[1:]
    height, width = int(size[0]), int(size[1])
    mean, std = normalization(model)
    stretches = is_for_pixels(model)
    return Preprocessing(
        image_size=(height, width),
        resize_size=max(height, width) if stretches else round(min(height, width) / crop_fraction),
        fit="stretch" if stretches else "crop",
        interpolation=interpolation,
        mean=mean,
        std=std,
        channels=len(mean),
        value_range=value_range,
    )
