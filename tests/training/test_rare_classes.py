"""A class a hundred times rarer than the other: said when it is lost, and learned with `data.balance`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.training import Recipe, TrainingReport, train
from tests.support.tiny_training import OVERRIDES


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two brightnesses; in training one to a hundred."""
    rng = np.random.default_rng(0)
    for part, label, count, level in (
        *(("train", "healthy", 100, 90), ("train", "sick", 1, 180)),
        *(("val", "healthy", 20, 90), ("val", "sick", 4, 180)),
    ):
        folder = tmp_path / "photos" / part / label
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(level, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "photos"


def run(photos: Path, balance: str) -> TrainingReport:
    changes = {"data.name": str(photos), "data.balance": balance, "augmentation.mixup": 0.0, "batch_size": 8}
    recipe = Recipe.load("gsb-demo", {**OVERRIDES, **changes})
    return train(recipe, photos.parent / balance)


def test_a_class_that_is_lost_is_named_with_what_helps(photos: Path) -> None:
    report = run(photos, "none")
    assert report.final.evaluation.to_dict()["per_class"] == {"healthy": 1.0, "sick": 0.0}
    assert any("no image of class 'sick' is recognized" in line for line in report.warnings)
    assert any("nearly all are taken for 'healthy': try data.balance=sampling" in line for line in report.warnings)
    assert not any("updates only" in line or "learned nothing" in line for line in report.warnings)
    assert (photos.parent / "none" / "confusion.png").is_file()


def test_balanced_sampling_learns_it(photos: Path) -> None:
    report = run(photos, "sampling")
    assert report.final.evaluation.to_dict()["per_class"] == {"healthy": 1.0, "sick": 1.0}
    assert report.warnings == ()
