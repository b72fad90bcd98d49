"""Errors of checkpoints."""

from __future__ import annotations

from bitvit.errors import BitvitError

__all__ = ["CheckpointError", "ModelError"]


class CheckpointError(BitvitError):
    """A checkpoint is missing, damaged, or belongs to another model."""


class ModelError(BitvitError):
    """A model of that name cannot be built, or not with these arguments."""
