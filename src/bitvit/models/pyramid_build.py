"""One builder and configuration for the registered BinaryViT, ReActDeiT and BHViT networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg
from torch import nn

from bitvit.models.pyramid import Pyramid, as_pair

_HALF = (0.5, 0.5, 0.5)

ModelT = TypeVar("ModelT", bound=nn.Module)


def pyramid_cfg(image_size: int, num_classes: int, first_conv: str = "stem.conv", **fields: Any) -> dict[str, Any]:
    """timm's configuration of a network without published weights."""
    small = image_size < 224
    return {
        "url": "",
        "num_classes": num_classes,
        "input_size": (3, image_size, image_size),
        "pool_size": None,
        "crop_pct": 1.0 if small else 0.875,
        "interpolation": "bicubic",
        "fixed_input_size": True,
        "mean": _HALF if small else IMAGENET_DEFAULT_MEAN,
        "std": _HALF if small else IMAGENET_DEFAULT_STD,
        "first_conv": first_conv,
        "classifier": "head",
        "license": "apache-2.0",
        **fields,
    }


def build_network(
    network: Callable[..., ModelT], variant: str, pretrained: bool, shape: dict[str, Any], **kwargs: Any
) -> ModelT:
    """Build a network under a registered name.

    Args:
        network: its class. variant: the registered name. pretrained: load published weights (there are none yet).
        shape: arguments of the name. kwargs: arguments of the caller, which win.
    """
    features = (
        {"out_indices": (0, 1, 2, 3), "feature_cls": "getter"}
        if isinstance(network, type) and issubclass(network, Pyramid)
        else {}
    )
    features_only = kwargs.get("features_only", False)
    model: ModelT = build_model_with_cfg(network, variant, pretrained, feature_cfg=features, **(shape | kwargs))
    if not features_only:
        config: dict[str, Any] = vars(model)["pretrained_cfg"]
        if "img_size" in kwargs:
            config["input_size"] = (config["input_size"][0], *as_pair(kwargs["img_size"]))
        if "in_chans" in kwargs:
            config["input_size"] = (int(kwargs["in_chans"]), *config["input_size"][1:])
    return model
