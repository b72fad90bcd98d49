"""The families the importer knows: how each is built and how its tensors are named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bitvit.models.bhvit import Bhvit
from bitvit.models.binaryvit import BinaryVit
from bitvit.models.entrypoints import as_pair, model_cfg
from bitvit.models.reactdeit import ReactDeit
from bitvit.models.reference.config import ReferenceConfig
from bitvit.models.reference.gsb_models import build_release_deit, gsb_arguments, gsb_rules
from bitvit.models.reference.gsb_quantizers import ReleaseAttention
from bitvit.models.reference.keys import KeyPair, expand_rules
from bitvit.models.reference.react_keys import bhvit_rules, binaryvit_rules, reactdeit_rules
from bitvit.models.reference.react_models import bhvit_arguments, binaryvit_arguments, reactdeit_arguments

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Family:
    """How networks of a family are built; the registered name builds the same from the same arguments."""

    registered: str
    arguments: Callable[[ReferenceConfig, Tensors], dict[str, Any]]
    build: Callable[..., nn.Module]
    first_conv: str


_FAMILIES = {
    "gsb": _Family("gsb_release_deit", gsb_arguments, build_release_deit, "patch_embed.proj"),
    "binaryvit": _Family("binaryvit_small_patch4_224", binaryvit_arguments, BinaryVit, "stem.conv"),
    "reactdeit": _Family("reactdeit_small_patch16_224", reactdeit_arguments, ReactDeit, "patch_embed.proj"),
    "bhvit": _Family("bhvit_small_patch4_224", bhvit_arguments, Bhvit, "stem.conv"),
}


def model_spec(config: ReferenceConfig, state_dict: Tensors) -> tuple[str, dict[str, Any]]:
    """Return the registered name and the arguments (plain JSON values) that build the network of a checkpoint.

    ``timm.create_model(name, **arguments)`` builds it.
    """
    family = _FAMILIES[config.family]
    return family.registered, family.arguments(config, state_dict)


def build_model(config: ReferenceConfig, state_dict: Tensors) -> nn.Module:
    """Build the network that a configuration and the shapes of its tensors describe, with new weights.

    Its attribute ``pretrained_cfg`` tells the image size; the normalization there is ImageNet's.
    """
    family = _FAMILIES[config.family]
    arguments = family.arguments(config, state_dict)
    model = family.build(**arguments)
    height, width = as_pair(arguments["img_size"])
    cfg = model_cfg(max(height, 224), arguments["num_classes"], family.first_conv)
    cfg |= {"architecture": family.registered, "input_size": (arguments["in_chans"], height, width)}
    vars(model)["pretrained_cfg"] = vars(model)["default_cfg"] = cfg
    return model


def import_notes(model: nn.Module) -> list[str]:
    """Return what a user should know about an imported network, one sentence each."""
    if any(isinstance(layer, ReleaseAttention) for layer in model.modules()):
        return [
            "the release takes thresholds of attention and values over the whole batch, so that an image's logits "
            "depend on its neighbours; exported, and after set_threshold_scope(model, 'image'), each image counts alone"
        ]
    return []


def key_pairs(model: nn.Module) -> list[KeyPair]:
    """Return both names of each of a model's tensors."""
    if isinstance(model, BinaryVit):
        return expand_rules(model, binaryvit_rules(model))
    if isinstance(model, ReactDeit):
        return expand_rules(model, reactdeit_rules(model))
    if isinstance(model, Bhvit):
        return expand_rules(model, bhvit_rules(model))
    if isinstance(model, VisionTransformer):
        return expand_rules(model, gsb_rules(model))
    raise TypeError(f"{type(model).__name__} has no counterpart in the authors' releases")


_UNUSED = (".init_state", "mlp.fc1.weight_clip_val", "mlp.fc2.weight_clip_val")


def unused_keys(state_dict: Tensors) -> list[str]:
    """Return names of tensors that the releases store and that an initialized network does not read."""
    return [name for name in state_dict if name.endswith(_UNUSED)]
