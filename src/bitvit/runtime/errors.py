"""Errors of the engine that are not errors of a file."""

from __future__ import annotations

from bitvit.errors import BitvitError, UsageError


class OutputValueError(BitvitError):
    """A network's output is not finite."""


class IsaError(UsageError):
    """The instruction set asked for does not exist, or this machine does not have it."""
