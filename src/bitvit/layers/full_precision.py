"""From a binary network to the full-precision network of the same architecture."""

from __future__ import annotations

from torch import nn

__all__ = ["to_full_precision"]


def to_full_precision(network: nn.Module) -> None:
    """Replace every binary or quantized layer inside a network, in place, by its full-precision one.

    A layer's method ``float_twin()`` names it (`bitvit.layers.facts`). Weights and their names stay; parameters that
    only quantization uses (shifts, scales, offsets) go.
    """
    for name, child in list(network.named_children()):
        method = getattr(child, "float_twin", None)
        replacement: nn.Module | None = method() if callable(method) else None
        if replacement is None:
            to_full_precision(child)
        else:
            missing = replacement.load_state_dict(child.state_dict(), strict=False).missing_keys
            assert not missing, f"{name}: no weights for {missing}"
            setattr(network, name, replacement)
