"""A folder with a hundred images of two classes for each of a third: what is said, and what balancing does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command import Command

COUNTS = {"dark": 100, "light": 100, "rare": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes that differ in brightness, the rare one by a colour as well."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(5)
    levels = {"dark": (60, 60, 60), "light": (190, 190, 190), "rare": (190, 60, 60)}
    for part, counts in (("train", COUNTS), ("val", dict.fromkeys(COUNTS, 5))):
        for label, count in counts.items():
            (folder / part / label).mkdir(parents=True)
            for number in range(count):
                noise = rng.integers(-25, 26, (16, 16, 3))
                image = np.clip(np.array(levels[label]) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(image).save(folder / part / label / f"{number}.png")
    return folder


def trained(bitvit: Command, recipe_file: Path, photos: Path, out: Path, balance: str) -> tuple[dict[str, float], str]:
    """Train, and return the recall of each class and what was said."""
    choice = ["data.samples_per_class=null", "stage1.epochs=0", "stage2.epochs=4", "teacher.epochs=4", "batch_size=16"]
    result = bitvit(
        "train", "--recipe", recipe_file, "--data", photos, "--out", out, *choice, f"data.balance={balance}"
    )
    assert result.code == 0, result.err
    judged = bitvit("eval", out, "--per-class", "--json")
    assert judged.code == 0, judged.err
    matrix = np.array(judged.json["confusion"])
    assert matrix.shape == (3, 3)
    assert matrix.sum() == 15
    return dict(zip(sorted(COUNTS), matrix.diagonal() / matrix.sum(axis=1), strict=True)), result.err


def test_a_class_that_is_never_found_is_said(bitvit: Command, recipe_file: Path, photos: Path, tmp_path: Path) -> None:
    recall, said = trained(bitvit, recipe_file, photos, tmp_path / "run", "none")
    assert recall["rare"] == 0
    assert "no image of class 'rare' is recognized" in said
    assert "data.balance=sampling" in said


@pytest.mark.parametrize("balance", ["sampling", "weights"])
def test_balancing_finds_it(bitvit: Command, recipe_file: Path, photos: Path, tmp_path: Path, balance: str) -> None:
    recall, _ = trained(bitvit, recipe_file, photos, tmp_path / "run", balance)
    assert recall["rare"] > 0
