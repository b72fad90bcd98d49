"""Taking binarization away from one kind of module of a network, to see what it costs.

What is binary is replaced by the real value that it approximates: `s sign(x + shift)` by `x + shift`, `alpha sign(W -
mean W)` by `W - mean W`, GSB attention by `A - Phi`, GSB values by `V - Omega`. BinaryViT and BHViT scale no
activation, so theirs become real values of mean magnitude 1, and real attention gets the mean of the binary one.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

from torch import nn

from bitvit.layers.facts import ATTENTION, INPUTS, KINDS, QUERY_KEY, VALUE, WEIGHTS
from bitvit.quantizers.estimator import Estimator

__all__ = ["ATTENTION", "INPUTS", "KINDS", "QUERY_KEY", "VALUE", "WEIGHTS", "without"]


def without(model: nn.Module, kinds: Collection[str], *, centred: bool = True) -> nn.Module:
    """Return a copy of a binary network in which some kinds of modules work with real values.

    Args:
        model: the binary network.
        kinds: of `KINDS`.
        centred: subtract the mean of restored weights, as their binarization does; without it they are those of the
            full-precision network.
    """
    changed = copy.deepcopy(model)
    for module in changed.modules():
        parts = getattr(module, "real_parts", {})
        for kind in kinds:
            for name in parts.get(kind, ()):
                estimator = getattr(module, name)
                if isinstance(estimator, Estimator) and estimator.bits == 1:
                    _make_real(estimator, kind == WEIGHTS and not centred)
    return changed


def _make_real(estimator: Estimator, as_it_is: bool) -> None:
    """Let an estimator return the real value that it approximates, or its input."""
    vars(estimator)["forward"] = estimator.unquantized if as_it_is else estimator.real_value
