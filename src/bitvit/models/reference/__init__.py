"""Importing the checkpoints that the authors of GSB, BinaryViT and BHViT released.

The result is an ordinary module of this library: it can be evaluated, fine-tuned and exported. Where a release's
arithmetic differs from its paper, the module carries the release's as a variant.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bitvit.models.reference.config import FAMILIES, ReferenceConfig, detect_family, read_config
from bitvit.models.reference.errors import CheckpointImportError, KeyMismatchError
from bitvit.models.reference.families import build_model, import_notes, key_pairs, model_spec, unused_keys
from bitvit.models.reference.gsb_models import set_threshold_scope
from bitvit.models.reference.keys import load_pairs
from bitvit.models.reference.reader import read_checkpoint
from bitvit.quantizers import BandedAttention, ClippedAttention, DecomposedAttention, Estimator

__all__ = [
    "FAMILIES",
    "CheckpointImportError",
    "KeyMismatchError",
    "ReferenceConfig",
    "detect_family",
    "from_reference",
    "import_notes",
    "model_spec",
    "read_checkpoint",
    "read_config",
    "set_threshold_scope",
    "to_reference",
]


def from_reference(
    config: Mapping[str, Any] | None, state_dict: Mapping[str, Tensor], family: str | None = None
) -> nn.Module:
    """Build the network of an authors' checkpoint and load its weights.

    Args:
        config: the configuration the authors' code was built with: ``{"model": {...}}``, its inner object, or the plain
            ``config.json`` of a pyramid; None infers everything from the tensors' names and shapes.
        state_dict: the authors' tensors under their names.
        family: ``"gsb"``, ``"binaryvit"``, ``"reactdeit"`` or ``"bhvit"``; None takes it from the config or the names.

    Returns:
        The network in evaluation mode, float32. It takes normalized images ``[B, 3, H, W]``. A GSB network takes its
        thresholds over the whole batch, as the release does; `set_threshold_scope` makes each image independent of its
        batch.

    Raises:
        CheckpointImportError: the configuration or the tensors are of no known network.
        KeyMismatchError: names every tensor that is missing, unexpected or of the wrong shape.
    """
    resolved = read_config(config, state_dict, family)
    model = build_model(resolved, state_dict)
    load_pairs(model, key_pairs(model), state_dict, f"a {resolved.family} network", unused_keys(state_dict))
    _check_scales(model)
    return model.eval()


def to_reference(
    model: nn.Module, tensors: Mapping[str, Tensor], like: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return tensors (parameters or their gradients) under the authors' names and in their layout.

    Args:
        model: from `from_reference`.
        tensors: by our names: the whole state, or the gradients of parameters; names of the model that are absent here
            are left out.
        like: the authors' tensors, whose shapes the result takes, and to whose names it is confined; None keeps our
            shapes, which may have fewer axes of length 1 than theirs.
    """
    own = dict(tensors)
    for name, module in model.named_modules():
        if isinstance(module, Estimator):
            for scale, value in module.scale_values().items():
                ours, log = f"{name}.base_{scale}", f"{name}.log_{scale}"
                if log not in own:
                    continue
                if ours in own:  # values: with what training has changed
                    own[ours] = own[ours] * own[log].exp()
                else:  # gradients: dL/ds = dL/dlog / s
                    own[ours] = own[log] / value
    return {
        pair.theirs: pair.to_theirs(own[pair.ours], None if like is None else like[pair.theirs].shape)
        for pair in key_pairs(model)
        if pair.ours in own and (like is None or pair.theirs in like)
    }


_ABOVE_ANY_PROBABILITY = 4.0


@torch.no_grad()
def _check_scales(model: nn.Module) -> None:
    """Bring scales that were trained to 0 or below to a positive one of the same meaning, or refuse them.

    The releases keep no scale positive. A clip of attention at or below 0 gives masks or values of 0 alone, as does one
    above every probability. The GSB release itself counts scales below 1e-5 as 1e-5, as `bitvit.quantizers.Positive`.
    """
    for name, module in model.named_modules():
        if not isinstance(module, Estimator):
            continue
        for scale, value in module.scale_values().items():
            if isinstance(module, ClippedAttention):
                setattr(module, scale, value if bool(value > 0) else _ABOVE_ANY_PROBABILITY)
            elif isinstance(module, BandedAttention | DecomposedAttention) and not bool((value > 0).all()):
                raise CheckpointImportError(f"{name}.{scale} is not positive: this checkpoint cannot be imported")
            else:
                setattr(module, scale, value)  # at least the smallest allowed
