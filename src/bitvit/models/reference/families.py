"""The families the importer knows: how each is built and how its tensors are named."""

from collections.abc import Mapping

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bitvit.models.bhvit import Bhvit
from bitvit.models.binaryvit import BinaryVit
from bitvit.models.reactdeit import ReactDeit
from bitvit.models.reference.config import ReferenceConfig
from bitvit.models.reference.gsb_models import build_gsb, gsb_rules
from bitvit.models.reference.keys import KeyPair, expand_rules
from bitvit.models.reference.react_keys import bhvit_rules, binaryvit_rules, reactdeit_rules
from bitvit.models.reference.react_models import build_bhvit, build_binaryvit, build_reactdeit


def build_model(config: ReferenceConfig, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Build the network that a configuration and the shapes of its tensors describe, with new weights."""
    if config.family == "gsb":
        return build_gsb(config, state_dict)
    if config.family == "binaryvit":
        return build_binaryvit(config, state_dict)
    if config.family == "reactdeit":
        return build_reactdeit(config, state_dict)
    return build_bhvit(config, state_dict)


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


def unused_keys(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Return names of tensors that the releases store and that an initialized network does not read."""
    return [name for name in state_dict if name.endswith(_UNUSED)]
