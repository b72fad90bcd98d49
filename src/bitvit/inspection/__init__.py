"""Figures of the GSB paper from a trained model: `bitvit inspect` (`docs/inspect.md`)."""

from __future__ import annotations

from bitvit.inspection.inspect import inspect_run
from bitvit.inspection.specimen import Specimen, open_specimen

__all__ = ["Specimen", "inspect_run", "open_specimen"]
