"""The phases of a run by name."""

from __future__ import annotations

from typing import Literal

__all__ = ["PHASE_TITLES", "PhaseName"]

PhaseName = Literal["teacher", "stage1", "stage2"]

PHASE_TITLES: dict[str, str] = {
    "teacher": "full-precision teacher",
    "stage1": "stage 1: binary weights",
    "stage2": "stage 2: binary weights and activations",
}
"""In the order in which they are trained."""
