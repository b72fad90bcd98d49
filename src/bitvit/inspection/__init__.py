"""Figures of the GSB paper from a trained model: `bitvit inspect` (`docs/inspect.md`)."""

from __future__ import annotations

from bitvit.inspection.inspect import inspect_run
from bitvit.inspection.inspected_run import InspectedRun, open_run

__all__ = ["InspectedRun", "inspect_run", "open_run"]
