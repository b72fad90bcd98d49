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
from bitvit.training.batches import EpochBatches, steps_per_epoch


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
        (49, 49, 40, "bhvit-micro-128"),
        (640, 480, 40, "bhvit-micro-128"),
        (1200, 1600, 5000, "bhvit-micro-128"),
        (32, 32, 5000, "gsb-micro"),
    ],
)
def test_the_size_decides(height: int, width: int, count: int, expected: str) -> None:
    choice = choose_recipe(made(height, width, count))
    assert choice.name == expected
    assert f"{count} training images" in choice.reason and f"{width} x {height}" in choice.reason


@pytest.mark.parametrize("name", ["gsb-micro", "bhvit-micro-128"])
@pytest.mark.parametrize("count", [7, 144, 1000, 20_000])
def test_chosen_recipes_make_enough_updates_of_any_number_of_images(name: str, count: int) -> None:
    recipe = Recipe.load(name)
    steps = len(EpochBatches(count, recipe.batch_size, 0, "teacher", lambda: 0, least_steps=recipe.least_steps))
    assert steps == steps_per_epoch(count, recipe.batch_size, recipe.least_steps)
    assert steps >= max(recipe.least_steps, count // recipe.batch_size)
    assert steps * (recipe.teacher.epochs + recipe.stage1.epochs + recipe.stage2.epochs) >= 1500


def test_long_pictures_are_said_to_be_cut() -> None:
    assert "only the middle square" in choose_recipe(made(40, 2000, 50)).reason
    assert "only the middle square" in choose_recipe(made(300, 20, 50)).reason
    assert "middle" not in choose_recipe(made(480, 640, 50)).reason


def test_sizes_of_files_come_from_their_headers(tmp_path: Path) -> None:
    for number, side in enumerate((20, 100, 100)):
        Image.new("L", (side, side)).save(tmp_path / f"{number}.png")
    whole = ImageSet.whole(FileSource(tuple(sorted(tmp_path.glob("*.png")))), [0, 1, 1], ["a", "b"])
    assert choose_recipe(Data("made", whole, whole)).name == "bhvit-micro-128"


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_a_recipe_for_any_images(task: str) -> None:
    recipes = task_named(task).recipes
    assert recipes[-1].largest_side is None
    for entry in recipes:
        assert entry.name in packaged_recipes()
        assert Recipe.load(entry.name).task.name == task
