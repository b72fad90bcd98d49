"""Errors of packing and exporting."""

from __future__ import annotations

from bitvit.errors import BitvitError


class ExportError(BitvitError):
    """A model cannot be packed or written as a Program; the message names the layer and what to do."""
