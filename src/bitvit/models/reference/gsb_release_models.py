"""The registered name under which imported GSB checkpoints are built again."""

from typing import Any

from timm.models import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer

from bitvit.models.pyramid import as_pair
from bitvit.models.pyramid_build import pyramid_cfg
from bitvit.models.reference.gsb_models import build_release_deit

default_cfgs = generate_default_cfgs({"gsb_release_deit.untrained": pyramid_cfg(224, 1000, "patch_embed.proj")})

_OF_TIMM = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


@register_model
def gsb_release_deit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """DeiT-Small with the arithmetic of the GSB release, for its checkpoints only; see `build_release_deit`."""
    del pretrained  # there are no weights under this name
    arguments = {name: value for name, value in kwargs.items() if name not in _OF_TIMM}
    arguments.setdefault("img_size", 224)
    model = build_release_deit(**arguments)
    cfg = pyramid_cfg(224, model.num_classes, "patch_embed.proj")
    cfg["input_size"] = (arguments.get("in_chans", 3), *as_pair(arguments["img_size"]))
    vars(model)["pretrained_cfg"] = vars(model)["default_cfg"] = cfg
    return model
