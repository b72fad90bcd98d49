"""What makes two recipes the same, across versions of bitvit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from bitvit.training.recipe import Recipe
from bitvit.training.recipe_parsing import key_of

__all__ = ["TRAINING_REVISION", "changed_fields", "fingerprint"]

TRAINING_REVISION = 2
"""Part of every fingerprint. It goes up whenever equal recipes begin to give other networks, so that results made
before and after are never taken for each other. 1: scales as plain parameters. 2: scales as base and logarithm of their
change, with optimizer groups of their own."""


def changed_fields(item: Any) -> dict[str, Any]:
    """Return those fields of a dataclass that differ from their defaults, as plain values."""
    return {
        key_of(entry.name): _plain(value)
        for entry in fields(item)
        if (value := getattr(item, entry.name)) != _default(entry) or _is_required(entry)
    }


def fingerprint(recipe: Recipe) -> str:
    """Return a digest of all that decides a run's result.

    Of every section it takes what differs from the defaults, so that a key that a later version adds changes no
    fingerprint. The recipe's name and the `runtime` section have no influence on a result; what training computes
    from a recipe has (`TRAINING_REVISION`).
    """
    content = {name: value for name, value in changed_fields(recipe).items() if name not in ("name", "runtime")}
    content["revision"] = TRAINING_REVISION
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _is_required(entry: Any) -> bool:
    return entry.default is MISSING and entry.default_factory is MISSING


def _default(entry: Any) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples and mappings for dataclasses, which keep only what is not the default."""
    if is_dataclass(value):
        return changed_fields(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value
