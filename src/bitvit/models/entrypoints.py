"""Registering a family's networks with timm, and building one under its registered name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, get_pretrained_cfg, register_model
from torch import nn

from bitvit.errors import UsageError

HALF = (0.5, 0.5, 0.5)

REGISTERED: dict[str, str] = {}
"""Module of each network that `register_family` registered, by name."""

ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class Variant:
    """One registered name of a family.

    Attributes:
        summary: one line, the entry point's docstring.
        image_size: in pixels.
        num_classes: of the untrained network.
        arguments: of the family's builder.
    """

    summary: str
    image_size: int
    num_classes: int
    arguments: Mapping[str, Any] = field(default_factory=dict)


def model_cfg(
    image_size: int, num_classes: int, first_conv: str, classifier: str | tuple[str, ...] = "head", **fields: Any
) -> dict[str, Any]:
    """Return timm's configuration of a network without published weights."""
    small = image_size < 224
    return {
        "url": "",
        "num_classes": num_classes,
        "input_size": (3, image_size, image_size),
        "pool_size": None,
        "crop_pct": 1.0 if small else 0.875,
        "interpolation": "bicubic",
        "fixed_input_size": True,
        "mean": HALF if small else IMAGENET_DEFAULT_MEAN,
        "std": HALF if small else IMAGENET_DEFAULT_STD,
        "first_conv": first_conv,
        "classifier": classifier,
        "license": "apache-2.0",
        **fields,
    }


def register_family(
    module: str,
    build: Callable[..., nn.Module],
    variants: Mapping[str, Variant],
    cfg: Callable[[Variant], dict[str, Any]],
) -> None:
    """Register every variant of a family with timm.

    Args:
        module: name of the family's module, in which the entry points appear.
        build: builder of a network: the registered name, ``pretrained``, the variant's arguments, the caller's.
        variants: by registered name.
        cfg: timm's configuration of a variant.
    """
    family = sys.modules[module]
    cfgs = generate_default_cfgs({f"{name}.untrained": cfg(variant) for name, variant in variants.items()})
    vars(family).setdefault("default_cfgs", {}).update(cfgs)
    for name, variant in variants.items():
        REGISTERED[name] = module
        setattr(family, name, register_model(_entry_point(module, name, build, variant)))


def _entry_point(module: str, name: str, build: Callable[..., nn.Module], variant: Variant) -> Callable[..., nn.Module]:
    def entry_point(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        # `hf-hub:user/name` and an overlay name weights of their own.
        named = kwargs.get("pretrained_cfg") or kwargs.get("pretrained_cfg_overlay")
        config = get_pretrained_cfg(name, allow_unregistered=True)
        if pretrained and not named and not (config is not None and config.has_weights):
            raise UsageError(
                f"{name}: there are no published weights yet; use pretrained=False and train it (bitvit train), or "
                "load your own (checkpoint_path=..., or timm.create_model('hf-hub:user/name', pretrained=True))"
            )
        return build(name, pretrained, **{**variant.arguments, **kwargs})

    entry_point.__module__ = module
    entry_point.__name__ = entry_point.__qualname__ = name
    entry_point.__doc__ = variant.summary
    return entry_point


def build_network(
    network: type[ModelT], name: str, pretrained: bool, features: dict[str, Any] | None = None, **kwargs: Any
) -> ModelT:
    """Build a network under a registered name, and keep its configuration true to the arguments.

    Args:
        network: its class.
        name: the registered name.
        pretrained: load published weights (the entry point refuses it while there are none).
        features: how timm extracts features.
        **kwargs: arguments of the class, ``features_only`` and the like.
    """
    model: ModelT = build_model_with_cfg(network, name, pretrained, feature_cfg=dict(features or {}), **kwargs)
    if not kwargs.get("features_only", False):
        record_input_size(model, kwargs.get("img_size"), kwargs.get("in_chans"))
    return model


def as_pair(value: Any) -> tuple[int, int]:
    """Return ``(height, width)`` from one number or two."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return int(height), int(width)


def record_input_size(model: nn.Module, img_size: Any = None, in_chans: int | None = None) -> None:
    """Write another image size or number of channels into a network's configuration.

    Normalization statistics stay those of the registered name: see `bitvit.models.input_channels`.
    """
    config: dict[str, Any] = dict(vars(model)["pretrained_cfg"])
    channels, height, width = config["input_size"]
    if img_size is not None:
        height, width = as_pair(img_size)
    config["input_size"] = (channels if in_chans is None else int(in_chans), height, width)
    vars(model)["pretrained_cfg"] = vars(model)["default_cfg"] = config
