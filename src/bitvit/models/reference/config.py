"""Reading the configuration that goes with a checkpoint, in the form of the authors' code."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bitvit.models.reference.errors import CheckpointImportError

FAMILIES = ("gsb", "binaryvit", "reactdeit", "bhvit")

_HF_FIELDS = frozenset(
    ("hidden_size", "depths", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size")
)


@dataclass(frozen=True)
class ReferenceConfig:
    """What a configuration says, in one flat form; fields that it leaves out are inferred from the tensors.

    Args:
        family: one of `FAMILIES`.
        network: the network's fields (``hf_config`` of the pyramids, ``config`` and ``ctor`` of GSB).
        args: the command-line switches that the authors' code was built with (pyramids).
        module: the authors' module name (GSB).
    """

    family: str
    network: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    module: str | None = None


def detect_family(state_dict: Mapping[str, Tensor]) -> str:
    """Return the family whose names the tensors bear.

    Raises:
        CheckpointImportError: none of the known families.
    """
    if "blocks.0.attn.qkv.weight" in state_dict and "pos_embed" in state_dict:
        return "gsb"
    if any(name.startswith("vit.encoder.layerA.") for name in state_dict):
        return "bhvit"
    if any(name.startswith("vit.encoder.patch_embed1.") for name in state_dict):
        return "binaryvit"
    if any(name.startswith("vit.encoder.layer.") for name in state_dict):
        return "reactdeit"
    shown = ", ".join(list(state_dict)[:5]) or "nothing"
    raise CheckpointImportError(
        f"the checkpoint belongs to no known family ({', '.join(FAMILIES)}); it holds {shown}, ... "
        "Models trained with bitvit need no import"
    )


def read_config(
    config: Mapping[str, Any] | None, state_dict: Mapping[str, Tensor], family: str | None = None
) -> ReferenceConfig:
    """Bring a configuration to one form.

    Args:
        config: None; or ``{"model": {...}}`` or its inner object with ``family`` and ``hf_config``/``args`` or
            ``config``/``ctor``; or the plain ``config.json`` of a pyramid.
        state_dict: the authors' tensors; they decide the family where neither argument names it.
        family: overrides the configuration's.

    Raises:
        CheckpointImportError: an unknown family or bit widths other than 1.
    """
    inner: Mapping[str, Any] = (config or {}).get("model", config or {})
    if not isinstance(inner, Mapping):
        raise CheckpointImportError('the configuration\'s "model" must be an object')
    detected = detect_family(state_dict)
    named = family or inner.get("family") or detected
    if named == "binaryvit" and detected == "reactdeit":
        named = "reactdeit"  # the authors keep both in one code base
    if named not in FAMILIES:
        raise CheckpointImportError(f"unknown family {named!r}; known are {', '.join(FAMILIES)}")
    if named != detected:
        raise CheckpointImportError(f"the checkpoint's tensors are those of {detected!r}, not of {named!r}")
    network: dict[str, Any] = {}
    if _HF_FIELDS & set(inner):
        network.update(inner)
    for part in ("hf_config", "config", "ctor"):
        value = inner.get(part)
        if isinstance(value, Mapping):
            network.update(value)
    for source in (inner, network):
        for bits in ("weight_bits", "input_bits"):
            if source.get(bits, 1) != 1:
                raise CheckpointImportError(
                    f"the checkpoint was trained with {bits} = {source[bits]}; only 1-bit networks can be imported"
                )
    args = inner.get("args")
    module = inner.get("module")
    return ReferenceConfig(
        named, network, args if isinstance(args, Mapping) else {}, module if isinstance(module, str) else None
    )


def square_side(count: int, what: str) -> int:
    """Return the side of a square map with ``count`` tokens.

    Raises:
        CheckpointImportError: ``count`` is not a square.
    """
    side = math.isqrt(count)
    if side * side != count:
        raise CheckpointImportError(
            f"{what} holds {count} tokens, which form no square: give the config with image_size"
        )
    return side


def count_indices(state_dict: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered modules there are directly under ``prefix``."""
    found = {name[len(prefix) :].split(".", 1)[0] for name in state_dict if name.startswith(prefix)}
    return len({index for index in found if index.isdigit()})


def default_heads(width: int, head_dim: int = 64) -> int:
    """Return the heads of a published width, 64 channels each.

    Raises:
        CheckpointImportError: the width is no multiple of 64, so that the configuration must tell.
    """
    if width % head_dim:
        raise CheckpointImportError(
            f"the number of attention heads cannot be inferred from tensors of {width} channels: "
            "give the config with num_attention_heads"
        )
    return width // head_dim


def as_list(value: Any, count: int) -> Sequence[int]:
    """Return ``value`` as a list of ``count`` integers, repeating a single one."""
    values = [int(v) for v in value] if isinstance(value, Sequence) else [int(value)] * count
    if len(values) != count:
        raise CheckpointImportError(f"the config gives {len(values)} values, {values}, for {count} stages")
    return values
