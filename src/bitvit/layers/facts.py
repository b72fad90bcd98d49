"""What a layer knows about itself, asked in one place. All of it is optional for a layer of your own.

A layer may define

* ``packed() -> nn.Module | None``: its form on bits, made of ``torch.ops.bitvit`` operators; None where it stays;
* ``charge(call) -> Charge``: the operations of one call, without those of its children;
* ``float_twin() -> nn.Module | None``: the full-precision layer that it binarizes; None where it stays;
* ``is_binary``: True where its own ``weight`` is stored in one bit per number;
* ``real_parts``: names of its estimators by the kind of module that they make binary (`bitvit.inspection`);
* ``set_activation_binarization(enabled)``: real activations in stage 1, binary ones in stage 2; estimators have it;
* first layers: ``packed_stem(mean, std) -> (module on image bytes, (height, width))``.
"""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

from torch import nn

ATTENTION, VALUE, QUERY_KEY, INPUTS, WEIGHTS = "attention", "value", "query and key", "linear inputs", "weights"
KINDS = (ATTENTION, VALUE, QUERY_KEY, INPUTS, WEIGHTS)
"""Kinds of modules that are made binary."""

RealParts = dict[str, tuple[str, ...]]


@runtime_checkable
class StagedLayer(Protocol):
    """A module whose activations are real in stage 1 and binary in stage 2."""

    def set_activation_binarization(self, enabled: bool) -> None:
        """Switch the binarization of activations, and the gradients of the parameters that only it uses."""


def is_binary(layer: nn.Module) -> bool:
    """Return whether the layer's own weight is stored in one bit per number."""
    return bool(getattr(layer, "is_binary", False))


def has_binary_layers(model: nn.Module) -> bool:
    """Return whether any layer of a model is binary."""
    return any(is_binary(layer) for layer in model.modules())


def is_staged(model: nn.Module) -> bool:
    """Return whether a model is trained in stages: whether any of its activations is quantized."""
    return bool(staged_layers(model))


def staged_layers(model: nn.Module) -> list[StagedLayer]:
    """Return the layers of a model that have stages; what stands for real numbers in a full-precision one has none."""
    return [m for m in model.modules() if isinstance(m, StagedLayer) and getattr(m, "bits", 1) < 32]


def is_comparison_only(model: nn.Module) -> bool:
    """Return whether a model is a comparison method, which bitvit trains but cannot pack."""
    return any(getattr(module, "comparison_only", False) for module in model.modules())


def packed_form(layer: nn.Module) -> nn.Module | None:
    """Return the packed twin of a layer, None where it stays as it is.

    Raises:
        ExportError: the layer cannot be packed, for instance because its activations are not binary (stage 1).
    """
    method = getattr(layer, "packed", None)
    twin: nn.Module | None = method() if callable(method) else None
    return twin


LayerT = TypeVar("LayerT", bound=nn.Module)


def packed_child(layer: nn.Module) -> nn.Module:
    """Return the packed twin of a layer inside a packed layer; layers without one (LayerNorm, Identity) stay."""
    return packed_form(layer) or layer
