"""Mixed images for the student alone: a teacher that learns from few photos does better without."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.training import Recipe
from bitvit.training.run import Run
from tests.support.tiny_training import tiny_recipe


@pytest.mark.parametrize(
    ("changes", "teacher_mixes"),
    [
        ({}, True),
        ({"augmentation__mix_teacher": False}, False),
        # Nothing is learned from this teacher's answers: it lends its weights, and the student's own phases mix.
        ({"augmentation__mix_teacher": False, "distillation__kind": "none"}, True),
    ],
)
def test_who_mixes(tmp_path: Path, changes: dict[str, object], teacher_mixes: bool) -> None:
    recipe: Recipe = tiny_recipe(tmp_path / "data", augmentation__cutmix=1.0, **changes)
    run = Run(recipe, tmp_path / "run")
    preprocessing = run.student.preprocessing
    assert run.objective(preprocessing, distills=False).needs_even_batches is teacher_mixes
    assert run.objective(preprocessing, distills=True).needs_even_batches
