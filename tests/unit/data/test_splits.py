"""Seeded selections: what each promises, over many seeds and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitvit.data import DataError, ImageSet
from bitvit.data.image_set import ArraySource
from bitvit.data.splits import add_label_noise, fold_split, limit_samples_per_class, stratified_split


def make_set(counts: list[int]) -> ImageSet:
    """`counts[c]` images of class c, in an order that mixes the classes."""
    targets = np.concatenate([np.full(count, label) for label, count in enumerate(counts)])
    targets = np.random.default_rng(0).permutation(targets)
    images = np.arange(len(targets), dtype=np.uint8).reshape(-1, 1, 1)
    return ImageSet.whole(ArraySource(images, "made"), targets, [f"c{label}" for label in range(len(counts))])


counts_lists = st.lists(st.integers(2, 30), min_size=2, max_size=6)
seeds = st.integers(0, 1000)


@given(counts_lists, st.floats(0.05, 0.6), seeds)
def test_stratified_split_keeps_every_image_once_and_the_shares_of_classes(
    counts: list[int], share: float, seed: int
) -> None:
    whole = make_set(counts)
    train, val = stratified_split(whole, share, seed)
    assert sorted([*train.indices, *val.indices]) == list(range(len(whole)))
    for label, count in enumerate(counts):
        n_val = int((val.targets == label).sum())
        assert n_val == min(max(round(count * share), 1), count - 1)


def test_stratified_split_depends_on_the_seed_only() -> None:
    whole = make_set([20, 20])
    first, again, other = (stratified_split(whole, 0.25, seed)[1].indices.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_single_image_of_a_class_goes_to_training() -> None:
    train, val = stratified_split(make_set([1, 10]), 0.3, 0)
    assert (train.targets == 0).sum() == 1
    assert (val.targets == 0).sum() == 0


@given(counts_lists, st.integers(2, 6), seeds)
def test_each_image_validates_in_exactly_one_fold(counts: list[int], folds: int, seed: int) -> None:
    folds = min(folds, *counts)
    whole = make_set(counts)
    judged: list[int] = []
    for fold in range(folds):
        train, val = fold_split(whole, folds, fold, seed)
        assert not set(train.indices) & set(val.indices)
        assert len(train) + len(val) == len(whole)
        judged += val.indices.tolist()
        for label, count in enumerate(counts):
            assert count // folds <= (val.targets == label).sum() <= -(-count // folds)
    assert sorted(judged) == list(range(len(whole)))


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (3, 3), (3, -1)])
def test_impossible_folds_are_refused(folds: int, fold: int) -> None:
    with pytest.raises(DataError, match="fold"):
        fold_split(make_set([5, 5]), folds, fold, 0)


def test_more_folds_than_a_class_has_images_name_the_class() -> None:
    with pytest.raises(DataError, match="class 'c1' has 3 images, too few for 4 folds"):
        fold_split(make_set([9, 3]), 4, 0, 0)


@given(counts_lists, seeds)
def test_fewer_samples_are_a_subset_of_more(counts: list[int], seed: int) -> None:
    whole = make_set(counts)
    more = limit_samples_per_class(whole, 2, seed)
    fewer = limit_samples_per_class(whole, 1, seed)
    assert np.bincount(more.targets).tolist() == [2] * len(counts)
    assert set(fewer.indices) <= set(more.indices)


def test_too_few_samples_name_the_class() -> None:
    with pytest.raises(DataError, match="class 'c1' has 3 training images, fewer than the 4"):
        limit_samples_per_class(make_set([9, 3]), 4, 0)
    with pytest.raises(DataError, match="at least 1"):
        limit_samples_per_class(make_set([9, 3]), 0, 0)


@given(counts_lists, st.floats(0, 1), seeds)
def test_label_noise_makes_the_asked_share_wrong(counts: list[int], fraction: float, seed: int) -> None:
    whole = make_set(counts)
    noisy = add_label_noise(whole, fraction, seed)
    assert int((noisy.targets != whole.targets).sum()) == round(fraction * len(whole))
    assert noisy.targets.min() >= 0
    assert noisy.targets.max() < len(counts)
    assert noisy.indices.tolist() == whole.indices.tolist()


def test_label_noise_is_spread_evenly_over_the_other_classes() -> None:
    whole = make_set([6000, 1, 1, 1])
    noisy = add_label_noise(whole, 1.0, 3)
    wrong = np.bincount(noisy.targets[whole.targets == 0], minlength=4)
    assert wrong[0] == 0
    # 2000 expected each, standard deviation 37.
    assert np.all(np.abs(wrong[1:] - 2000) < 200), wrong


def test_more_noise_keeps_the_wrong_labels_of_less() -> None:
    whole = make_set([30, 30, 30])
    little, much = add_label_noise(whole, 0.2, 5), add_label_noise(whole, 0.4, 5)
    wrong = little.targets != whole.targets
    assert (much.targets[wrong] == little.targets[wrong]).all()


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_noise_outside_zero_to_one_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="0 to 1"):
        add_label_noise(make_set([2, 2]), fraction, 0)
