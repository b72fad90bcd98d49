"""A new task is one package: trained, evaluated, packed, resumed and inspected by code that does not know it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import bitvit.tasks
from bitvit.checkpoints import load_checkpoint
from bitvit.data import Data, ImageSet
from bitvit.data.image_set import ArraySource
from bitvit.export import build_program, measure_agreement, pack
from bitvit.inspection import inspect_run, open_run
from bitvit.inspection.curves import read_curves
from bitvit.program import BitvitFile, Preprocessing
from bitvit.tasks import registry, task_named, task_names
from bitvit.training import Recipe, RecipeError, evaluate, train
from tests.support import own_tasks
from tests.support.tiny_training import tiny_recipe


@dataclass(frozen=True)
class AttributeSet(ImageSet):
    """Images with a vector of attributes each: which of red, green and blue are bright."""

    def target(self, position: int) -> npt.NDArray[np.int64]:  # type: ignore[override]
        image = np.asarray(self.raw(position))
        return (image.mean(axis=(0, 1)) > 127).astype(np.int64)

    def batches(self, preprocessing: Preprocessing, batch_size: int) -> Iterator[tuple[npt.NDArray[np.uint8], list]]:  # type: ignore[override, type-arg]
        start = 0
        for images, _ in super().batches(preprocessing, batch_size):
            yield images, [self.target(start + index) for index in range(len(images))]
            start += len(images)


@pytest.fixture
def task() -> Iterator[str]:
    """Make the package of a new task a package of `bitvit.tasks`, as a file in that folder would be."""
    folder = str(Path(own_tasks.__file__).parent)
    bitvit.tasks.__path__.append(folder)
    for cached in (registry.task_names, registry.task_named):
        cached.cache_clear()
    yield "attributes"
    bitvit.tasks.__path__.remove(folder)
    for cached in (registry.task_names, registry.task_named):
        cached.cache_clear()


def bright_images(count: int = 16) -> Data:
    rng = np.random.default_rng(2)
    levels = rng.choice([30, 220], size=(count, 1, 1, 3))
    images = np.clip(levels + rng.integers(-20, 20, (count, 8, 8, 3)), 0, 255).astype(np.uint8)
    whole = AttributeSet.whole(ArraySource(images, "bright"), [0] * count, ["red", "green", "blue"])
    return Data("bright", whole, whole, task="attributes")


def attribute_recipe(tmp_path: Path, **overrides: object) -> Recipe:
    settings = {
        "task__name": "attributes",
        "task__positive_weight": 1.5,
        "distillation__kind": "none",
        "augmentation__mixup": 0,
        "augmentation__scale": [1, 1],
        "augmentation__ratio": [1, 1],
        "model__kwargs": {},
        "teacher__epochs": 3,
        "stage2__epochs": 6,
        **overrides,
    }
    return tiny_recipe(tmp_path / "data", **settings)


def test_a_task_of_ones_own(task: str, tmp_path: Path) -> None:
    assert task in task_names()
    data = bright_images()
    recipe = attribute_recipe(tmp_path)
    report = train(recipe, tmp_path / "run", data=data)
    assert Recipe.load(tmp_path / "run" / "recipe.yaml") == recipe
    assert list(report.final.evaluation.metrics()) == ["right"]
    assert report.final.evaluation.score > 0.8, "chance is 0.5"
    assert report.to_dict()["task"] == task
    assert "val_right" in (tmp_path / "run" / "metrics.csv").read_text()
    again = train(recipe, tmp_path / "run", resume=True, data=data)
    assert again.to_dict() == report.to_dict()

    model, info = load_checkpoint(tmp_path / "run")
    assert info.task == task
    assert evaluate(model, data.val, info.preprocessing, task=task_named(info.task)) == report.final.evaluation

    program, tensors = build_program(pack(model))
    batches = data.val.batches(info.preprocessing, 8)
    file = BitvitFile(program, tensors, info.preprocessing, list(info.labels), task=task)
    exported = measure_agreement(model, file, batches)
    assert exported.metric == "right"
    assert exported.packed_accuracy == exported.checkpoint_accuracy == report.final.evaluation.score
    assert exported.identical_predictions == 1

    curves = {"run": read_curves(tmp_path / "run")}
    numbers = inspect_run(open_run(tmp_path / "run", data.val, 8), curves, tmp_path / "inspect", maps=2)
    assert numbers["modules"]["metric"] == {"key": "right", "title": "right attributes"}
    assert 0 <= numbers["modules"]["student"]["right"] <= 1


def test_recipe_and_data_must_agree_on_the_task(task: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"task\.name: is classification, but data set 'bright' is for attributes"):
        train(tiny_recipe(tmp_path / "data"), tmp_path / "run", data=bright_images())
