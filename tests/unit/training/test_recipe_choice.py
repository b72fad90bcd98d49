"""A recipe that suits the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.data import Data, ImageSet
from bitvit.data.image_set import ArraySource, FileSource
from bitvit.tasks import task_named, task_names
from bitvit.training import Recipe, choose_recipe, packaged_recipes


def made(height: int, width: int, count: int) -> Data:
    images = np.broadcast_to(np.zeros((1, height, width), np.uint8), (count, height, width))
    whole = ImageSet.whole(ArraySource(images, "made"), [i % 2 for i in range(count)], ["a", "b"])
    return Data("made", whole, whole)


@pytest.mark.parametrize(
    ("height", "width", "count", "expected"),
    [
        (8, 8, 40, "gsb-micro"),
        (32, 32, 40, "gsb-micro"),
        (48, 640, 40, "gsb-micro"),
        (96, 96, 40, "gsb-micro-64"),
        (640, 480, 40, "gsb-micro-64"),
        (64, 64, 5000, "gsb-photos"),
        (32, 32, 5000, "gsb-micro"),
    ],
)
def test_size_and_number_decide(height: int, width: int, count: int, expected: str) -> None:
    choice = choose_recipe(made(height, width, count), has_gpu=True)
    assert choice.name == expected
    assert f"{count} training images" in choice.reason and f"{width} x {height}" in choice.reason


def test_photos_without_a_gpu() -> None:
    choice = choose_recipe(made(64, 64, 5000), has_gpu=False)
    assert (choice.name, choice.changes) == ("gsb-micro-64", ())
    assert "with a GPU gsb-photos would be chosen" in choice.reason


@pytest.mark.parametrize("name", ["gsb-micro", "gsb-micro-64"])
@pytest.mark.parametrize("count", [10, 144, 1000, 1399])
def test_few_images_are_seen_in_more_epochs(name: str, count: int) -> None:
    side = 32 if name == "gsb-micro" else 224
    choice = choose_recipe(made(side, side, count), has_gpu=False)
    assert choice.name == name
    shipped, changed = Recipe.load(name), Recipe.load(name, choice.changes)
    for phase in ("teacher", "stage1", "stage2"):
        before, after = getattr(shipped, phase), getattr(changed, phase)
        assert 1400 * before.epochs <= count * after.epochs < 1400 * before.epochs + count
        assert f"{phase}.epochs={after.epochs}" in choice.reason
    # as many validations as before: they take time, too
    assert changed.stage2.epochs / changed.validation.every_epochs <= shipped.stage2.epochs / 5 + 1
    assert choose_recipe(made(side, side, 1400), has_gpu=False).changes == ()
    settled = {"teacher.epochs", "stage1.epochs", "validation.every_epochs"}
    change, *rest = choose_recipe(made(side, side, count), settled=settled, has_gpu=False).changes
    assert change == f"stage2.epochs={changed.stage2.epochs}"
    assert rest == (["batch_size=10"] if count == 10 else [])


def test_long_pictures_are_said_to_be_cut() -> None:
    assert "only the middle square" in choose_recipe(made(40, 2000, 50)).reason
    assert "only the middle square" in choose_recipe(made(300, 20, 50)).reason
    assert "middle" not in choose_recipe(made(480, 640, 50)).reason


def test_sizes_of_files_come_from_their_headers(tmp_path: Path) -> None:
    for number, side in enumerate((20, 100, 100)):
        Image.new("L", (side, side)).save(tmp_path / f"{number}.png")
    whole = ImageSet.whole(FileSource(tuple(sorted(tmp_path.glob("*.png")))), [0, 1, 1], ["a", "b"])
    assert choose_recipe(Data("made", whole, whole)).name == "gsb-micro-64"


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_a_recipe_for_any_images(task: str) -> None:
    recipes = task_named(task).recipes
    assert recipes[-1].largest_side is None and recipes[-1].least_images == 0
    for entry in recipes:
        assert entry.name in packaged_recipes()
        assert Recipe.load(entry.name).task.name == task
