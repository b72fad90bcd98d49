"""Errors of training."""

from __future__ import annotations

from bitvit.errors import BitvitError

__all__ = ["RecipeError", "TrainingError", "TrainingInterrupted"]


class RecipeError(BitvitError):
    """A recipe has an unknown key, a value of the wrong type, or values that contradict each other."""


class TrainingError(BitvitError):
    """Training cannot start or continue."""


class TrainingInterrupted(KeyboardInterrupt):
    """The user or the system stopped training (Ctrl-C, SIGTERM). The message says how to continue."""
