"""What can be wrong with a data set."""

from __future__ import annotations

from bitvit.errors import BitvitError

__all__ = ["DataError"]


class DataError(BitvitError):
    """A data set is missing, incomplete, unreadable, or does not fit what is asked of it."""
