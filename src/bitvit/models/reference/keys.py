"""Names of tensors: the authors' and ours, and how values move between the two."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bitvit.models.reference.errors import KeyMismatchError
from bitvit.quantizers.estimator import Estimator

Layout = Literal["same", "map"]
"""``"same"``: equal up to axes of length 1. ``"map"``: theirs ``[1, C, H, W]``, ours ``[1, H W, C]``."""


@dataclass(frozen=True)
class KeyPair:
    """One tensor under both names.

    Args:
        ours: our name.
        theirs: the authors' name.
        layout: see `Layout`.
        negated: the authors add what we subtract.
        index: theirs is this element of ours, None where it is all of it.
    """

    ours: str
    theirs: str
    layout: Layout = "same"
    negated: bool = False
    index: int | None = None

    def to_ours(self, value: Tensor) -> Tensor:
        """Bring the authors' tensor to our layout, up to axes of length 1."""
        if self.layout == "map" and value.dim() == 4:
            value = value.flatten(2).transpose(1, 2)
        return -value if self.negated else value

    def to_theirs(self, value: Tensor, shape: torch.Size | None) -> Tensor:
        """Bring our tensor to the authors' layout, and to their shape if it is given."""
        if self.index is not None:
            value = value[self.index]
        if self.negated:
            value = -value
        if shape is None:
            return value
        if self.layout == "map" and len(shape) == 4:
            value = value.transpose(1, 2)
        return value.reshape(shape)


@dataclass(frozen=True)
class PrefixRule:
    """Tensors of one of our modules are under one of the authors' prefixes, some under other leaf names.

    Args:
        ours: name of our module, "" for the root.
        theirs: the authors' prefix.
        leaves: the authors' leaf names by ours; several names for a tensor that stacks several of theirs. Leaves that
            the model lacks are passed over. None: all tensors directly in the module, under the same names.
        layout: see `Layout`.
        negated: see `KeyPair`.
    """

    ours: str
    theirs: str
    leaves: Mapping[str, str | tuple[str, ...]] | None = None
    layout: Layout = "same"
    negated: bool = False

    def pairs(self, names: Iterable[str]) -> list[KeyPair]:
        """Return the pairs of those of our names that the rule covers."""
        prefix = f"{self.ours}." if self.ours else ""
        found = []
        for name in names:
            leaf = name[len(prefix) :]
            if not name.startswith(prefix) or (self.leaves is None and "." in leaf):
                continue
            theirs = (leaf,) if self.leaves is None else self.leaves.get(leaf, ())
            if isinstance(theirs, str):
                theirs = (theirs,)
            for index, other in enumerate(theirs):
                full = f"{self.theirs}.{other}" if self.theirs else other
                found.append(KeyPair(name, full, self.layout, self.negated, index if len(theirs) > 1 else None))
        return found


RPRELU_LEAVES = {"before": "move1", "slope": "prelu.weight", "after": "move2"}
AFFINE_LEAVES = {"scale": "alpha", "shift": "move"}


def expand_rules(model: nn.Module, rules: Iterable[PrefixRule]) -> list[KeyPair]:
    """Return a pair for every tensor of the model; every tensor must be covered by exactly one rule.

    The authors' scales are ours as they were set (``base_<name>``); the logarithms of what training has changed since
    (`bitvit.quantizers.Positive`) have no counterpart, and are 0 after an import.
    """
    changes = {
        f"{name}.{scale}"
        for name, module in model.named_modules()
        if isinstance(module, Estimator)
        for scale in module.scale_parameters()
    }
    names = [name for name in model.state_dict() if name not in changes]
    pairs = [pair for rule in rules for pair in rule.pairs(names)]
    covered = {(pair.ours, pair.index) for pair in pairs}
    if len(covered) != len(pairs) or {pair.ours for pair in pairs} != set(names):
        missed = sorted(set(names) - {pair.ours for pair in pairs})
        raise AssertionError(f"the rules must name each tensor once; not named: {missed[:5]}")
    return pairs


def _squeezed(shape: torch.Size) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def load_pairs(
    model: nn.Module,
    pairs: Iterable[KeyPair],
    state_dict: Mapping[str, Tensor],
    what: str,
    unused: Iterable[str] = (),
) -> None:
    """Copy the authors' tensors into the model.

    Args:
        model: of ours.
        pairs: from `expand_rules`.
        state_dict: the authors'.
        what: names the architecture in errors.
        unused: the authors' names that may be present and that nothing reads.

    Raises:
        KeyMismatchError: names every tensor that is missing, unexpected or of the wrong shape.
    """
    pairs = list(pairs)
    loaded = {name: value.clone() for name, value in model.state_dict().items()}
    known = {pair.theirs for pair in pairs} | set(unused)
    missing = [p.theirs for p in pairs if p.theirs not in state_dict and not p.theirs.endswith("num_batches_tracked")]
    unexpected = [name for name in state_dict if name not in known]
    mismatched = []
    for pair in pairs:
        if pair.theirs not in state_dict:
            continue
        value = pair.to_ours(state_dict[pair.theirs])
        target = loaded[pair.ours] if pair.index is None else loaded[pair.ours][pair.index]
        if _squeezed(value.shape) != _squeezed(target.shape):
            given = list(state_dict[pair.theirs].shape)
            mismatched.append(f"{pair.theirs} has shape {given}, expected {list(target.shape)}")
        else:
            target.copy_(value.reshape(target.shape))
    if missing or unexpected or mismatched:
        raise KeyMismatchError(what, missing, unexpected, mismatched)
    model.load_state_dict(loaded)
