"""Errors of studies."""

from __future__ import annotations

from bitvit.errors import BitvitError

__all__ = ["StudyError", "StudyInterrupted"]


class StudyError(BitvitError):
    """A study's file is wrong, its folder belongs to another study, or some of its runs failed."""


class StudyInterrupted(KeyboardInterrupt):
    """The user stopped a study (Ctrl-C). The message says how to continue."""
