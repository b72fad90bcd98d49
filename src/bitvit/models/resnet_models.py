"""The registered ResNet-18s: full precision and six binary methods, each in three sizes.

``{xnor,bireal,irnet,rbnn,recu,reactnet}_resnet18_{224,32}`` (the papers' widths), ``*_resnet18_micro_32`` (widths 16 to
128) and ``test_*_resnet18``; ``resnet18_{224,32,micro_32}`` and ``test_resnet18`` are real.
"""

from __future__ import annotations

import sys
from typing import Any, get_args

from timm.models import generate_default_cfgs, register_model

from bitvit.layers.estimated_conv import Estimator
from bitvit.models.binary_resnet import BinaryResNet
from bitvit.models.pyramid_build import build_network, pyramid_cfg

_SIZES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "{}resnet18_224": (224, 1000, {}),
    "{}resnet18_32": (32, 10, {"small_images": True}),
    "{}resnet18_micro_32": (32, 10, {"small_images": True, "widths": (16, 32, 64, 128)}),
    "test_{}resnet18": (16, 10, {"small_images": True, "widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1)}),
}
_METHODS: tuple[Estimator | None, ...] = (None, *get_args(Estimator))

default_cfgs: dict[str, Any] = {}


def _register(method: Estimator | None, pattern: str) -> None:
    image_size, num_classes, shape = _SIZES[pattern]
    name = pattern.format("" if method is None else f"{method}_")
    config = pyramid_cfg(image_size, num_classes, "conv1", classifier="fc")
    default_cfgs.update(generate_default_cfgs({f"{name}.untrained": config}))

    def entry(pretrained: bool = False, **kwargs: Any) -> BinaryResNet:
        return build_network(BinaryResNet, name, pretrained, {"estimator": method, **shape}, **kwargs)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"ResNet-18, {'full precision' if method is None else f'binary by {method}'}, {image_size} pixels."
    setattr(sys.modules[__name__], name, register_model(entry))


for _method in _METHODS:
    for _pattern in _SIZES:
        _register(_method, _pattern)
