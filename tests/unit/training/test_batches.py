"""Order and augmentation of training images: functions of the seed, whoever computes them."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from bitvit.data import Data, DataOptions, build_data
from bitvit.program import Preprocessing
from bitvit.tasks import Classes, Distillation, TaskSettings
from bitvit.tasks.classification.augmentation import BatchMixer
from bitvit.tasks.classification.objective import ClassificationObjective
from bitvit.tasks.objective import ObjectivePlan
from bitvit.training import Recipe, RecipeError
from bitvit.training.batches import (
    EpochBatches,
    EvaluationImages,
    TrainingImages,
    balanced_order,
    evaluation_loader,
    steps_per_epoch,
    training_loader,
)
from bitvit.training.seeding import isolated_randomness

PREPROCESSING = Preprocessing((16, 16), 16)
STRONG = [
    "augmentation.auto_augment=rand-m9-mstd0.5-inc1",
    "augmentation.random_erasing=0.5",
    "augmentation.mixup=0.8",
    "augmentation.cutmix=1.0",
    "augmentation.color_jitter=0.3",
]


@pytest.fixture(scope="module")
def data() -> Data:
    return build_data("digits", options=DataOptions(samples_per_class=4))


def training_images(data: Data, seed: int = 0) -> TrainingImages:
    augmentation = Recipe.load("gsb-demo", STRONG).augmentation
    plan = ObjectivePlan(TaskSettings(), augmentation, Distillation(), Classes(data.labels), PREPROCESSING)
    return TrainingImages(data.train, ClassificationObjective(plan), seed, "stage1")


def mixed(mixer: BatchMixer, images: Tensor, targets: Tensor, *seed: int | str) -> tuple[Tensor, Tensor]:
    with isolated_randomness(*seed):
        return mixer(images, targets)


def load_epoch(data: Data, epoch: int, workers: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    batches = EpochBatches(len(data.train), 8, seed, "stage1", epoch=lambda: epoch)
    images, targets = zip(*training_loader(training_images(data, seed), batches, workers), strict=True)
    return torch.cat(images), torch.cat(targets)


def test_each_epoch_sees_other_images_in_another_order(data: Data) -> None:
    first, second = load_epoch(data, 0), load_epoch(data, 1)
    assert first[0].shape == (40, 3, 16, 16)
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    assert torch.equal(first[1].sort().values, second[1].sort().values)
    assert not torch.equal(first[0], load_epoch(data, 0, seed=1)[0])


def test_images_depend_neither_on_workers_nor_on_what_was_drawn_before(data: Data) -> None:
    expected = load_epoch(data, 3)
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    again, elsewhere = load_epoch(data, 3), load_epoch(data, 3, workers=2)
    for found in (again, elsewhere):
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_augmentation_leaves_the_global_generators_alone(data: Data) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = (random.random(), np.random.rand(), float(torch.rand(1)))  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    load_epoch(data, 0)
    mixer = BatchMixer(Recipe.load("gsb-demo", STRONG).augmentation, 10)
    mixed(mixer, torch.zeros(4, 3, 8, 8), torch.arange(4), 0, "mixup")
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected  # noqa: NPY002


def test_few_images_are_taken_several_times_and_augmented_anew(data: Data) -> None:
    batches = EpochBatches(len(data.train), 8, 0, "stage1", lambda: 0, least_steps=12)
    positions = [position for batch in batches for _, position in batch]
    assert len(batches) == steps_per_epoch(40, 8, 12) == 15
    assert sorted(positions) == list(range(120))
    assert all(sorted(position % 40 for position in positions[i : i + 40]) == list(range(40)) for i in (0, 40, 80))
    images = training_images(data, 0)
    (first, target), (again, same), (other, also) = (images[0, position] for position in (3, 3, 43))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert target == same == also
    assert steps_per_epoch(40, 8) == steps_per_epoch(40, 8, 5) == 5
    assert [len(batch) for batch in EpochBatches(5, 8, 0, "stage1", lambda: 0, least_steps=2)] == [8, 8]


@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 8), (3, 12), (4, 8)])
def test_processes_share_a_batch_in_mirrored_pairs(world_size: int, batch_size: int) -> None:
    single = list(EpochBatches(30, batch_size, 5, "stage2", lambda: 2))
    parts = [
        list(EpochBatches(30, batch_size, 5, "stage2", lambda: 2, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for number, batch in enumerate(single):
        shares = [part[number] for part in parts]
        assert sorted(key for share in shares for key in share) == sorted(batch)
        mirror = dict(zip(batch, reversed(batch), strict=True))
        for share in shares:
            assert [mirror[key] for key in share] == share[::-1]


def test_mixing_parts_of_a_batch_gives_parts_of_the_mixed_batch() -> None:
    mixer = BatchMixer(Recipe.load("gsb-demo", STRONG).augmentation, 5)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 3, 6, 6, generator=generator)
    targets = torch.randint(0, 5, (8,), generator=generator)
    seen = set()
    for step in range(12):
        whole_images, whole_targets = mixed(mixer, images, targets, 0, "stage1", "mixup", step)
        seen.add(bool((whole_targets.max(dim=1).values < 0.95).any()))
        for rank in range(2):
            own = [rank, rank + 2, 7 - rank - 2, 7 - rank]
            part_images, part_targets = mixed(mixer, images[own], targets[own], 0, "stage1", "mixup", step)
            assert torch.equal(part_images, whole_images[own])
            assert torch.equal(part_targets, whole_targets[own])
        torch.testing.assert_close(whole_targets.sum(dim=1), torch.ones(8))
    assert True in seen, "nothing was mixed, so the test shows nothing"


def test_without_mixing_targets_are_smoothed_one_hot() -> None:
    mixer = BatchMixer(Recipe.load("gsb-demo", ["augmentation.label_smoothing=0.2"]).augmentation, 4)
    images = torch.rand(2, 3, 4, 4)
    same, targets = mixer(images, torch.tensor([1, 3]))
    assert same is images
    torch.testing.assert_close(targets, torch.tensor([[0.05, 0.85, 0.05, 0.05], [0.05, 0.05, 0.05, 0.85]]))


def test_batches_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(RecipeError, match="64 is more than the 40 training images; set batch_size=40"):
        EpochBatches(40, 64, 0, "stage1", lambda: 0)
    with pytest.raises(RecipeError, match="multiple of 4"):
        EpochBatches(40, 6, 0, "stage1", lambda: 0, rank=0, world_size=2)


def test_evaluation_images_are_the_bytes_of_prediction(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = np.concatenate([batch for batch, _ in data.val.batches(PREPROCESSING, 100)])
    for cache_bytes in (1 << 27, 0):
        monkeypatch.setattr("bitvit.training.batches._CACHE_BYTES", cache_bytes)
        loader = evaluation_loader(EvaluationImages(data.val, PREPROCESSING), 100, 0, range(0, len(data.val), 2))
        images, targets = zip(*loader, strict=True)
        assert torch.cat(images).dtype == torch.uint8
        np.testing.assert_array_equal(torch.cat(images).numpy(), expected[::2])
        np.testing.assert_array_equal([target for batch in targets for target in batch], data.val.targets[::2])


def test_balanced_order_draws_every_class_equally_often() -> None:
    classes = np.array([0] * 90 + [1] * 9 + [3] * 1)
    order = balanced_order(classes, np.random.default_rng(4))
    assert len(order) == len(classes)
    counts = np.bincount(classes[order], minlength=4)
    assert counts[2] == 0 and sorted(counts[[0, 1, 3]]) == [33, 33, 34]
    times = np.bincount(order, minlength=100)
    assert times[:90].max() == 1, "images of a frequent class are drawn without repetition"
    assert times[90:99].max() - times[90:99].min() <= 1, "those of a rare class equally often, to one"
    again = balanced_order(classes, np.random.default_rng(5))
    assert set(order[order < 90]) != set(again[again < 90]), "each epoch takes others of a frequent class"


@pytest.mark.parametrize(("repeats", "least_steps"), [(3, 0), (2, 0), (3, 9), (40, 0)])
def test_repeated_augmentation_takes_copies_of_fewer_images(repeats: int, least_steps: int) -> None:
    def epoch_of(repeats: int, epoch: int = 0) -> list[int]:
        batches = EpochBatches(20, 4, 0, "s", lambda: epoch, least_steps=least_steps, repeats=repeats)
        return [position for batch in batches for _, position in batch]

    plain, repeated = epoch_of(1), epoch_of(repeats)
    assert len(repeated) == len(plain)
    assert len(set(repeated)) == len(repeated)  # each copy is augmented on its own
    images = [position % 20 for position in repeated]
    assert all(len(set(images[start : start + repeats])) == 1 for start in range(0, len(images), repeats))
    assert len(set(images)) == min(-(-len(images) // repeats), 20)
    assert epoch_of(repeats, 1) != repeated


def test_copies_of_an_image_are_shared_among_processes() -> None:
    shares = [
        [
            position
            for batch in EpochBatches(24, 8, 0, "s", lambda: 0, rank=rank, world_size=2, repeats=2)
            for _, position in batch
        ]
        for rank in range(2)
    ]
    whole = [position for batch in EpochBatches(24, 8, 0, "s", lambda: 0, repeats=2) for _, position in batch]
    assert sorted(shares[0] + shares[1]) == sorted(whole)
    assert {position % 24 for position in shares[0]} == {position % 24 for position in shares[1]}


def test_images_of_a_rare_class_are_augmented_anew_each_time() -> None:
    classes = np.array([0] * 18 + [1] * 2)
    batches = EpochBatches(20, 4, 0, "s", lambda: 0, classes=classes)
    positions = [position for batch in batches for _, position in batch]
    assert len(set(positions)) == 20
    assert sum(classes[position % 20] for position in positions) == 10
