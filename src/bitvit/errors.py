"""The errors that speak to the user: one clear line each, saying what was wrong, where, and what to do.

The command line prints such an error as ``error: ...`` and exits with 2. Anything else that
escapes is an internal error: a bug in bitvit.
"""

from __future__ import annotations

__all__ = ["BitvitError", "ExportError", "ImageError", "OutOfMemoryError", "OutputError", "UsageError"]


class BitvitError(Exception):
    """Base of every error that the user can cause and fix."""


class UsageError(BitvitError, ValueError):
    """An argument or option has a value that makes no sense, or two of them contradict each other."""


class ImageError(BitvitError):
    """An image cannot be read, decoded or prepared."""


class OutputError(BitvitError):
    """A result cannot be written (missing or read-only folder, full disk). Nothing is left half-written."""


class OutOfMemoryError(BitvitError, MemoryError):
    """The machine does not have enough memory for what was asked."""


class ExportError(BitvitError):
    """A model cannot be packed or written as a Program; the message names the layer and what to do."""
