"""What can go wrong when a page is made."""

from __future__ import annotations

from bitvit.errors import BitvitError

__all__ = ["PageError"]


class PageError(BitvitError):
    """The page was not built with this installation, or a picture is none that browsers show."""
