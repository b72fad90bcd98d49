"""Scenes follow from their seed, and a folder of them is a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitvit.data import DataError, DataOptions, build_data, build_evaluation
from bitvit.data.segmentation import build_segmentation_data, compose_scenes, write_scenes


def test_scenes_follow_from_their_seed() -> None:
    (train, val), (again, _) = (compose_scenes("digits", 12, 5, size=48, seed=3) for _ in range(2))
    np.testing.assert_array_equal(train.photos, again.photos)
    np.testing.assert_array_equal(train.masks, again.masks)
    assert train.photos.shape == (12, 48, 48, 3)
    assert val.masks.shape == (5, 48, 48)
    assert (compose_scenes("digits", 12, 5, size=48, seed=4)[0].photos != train.photos).any()
    present = set(np.unique(train.masks).tolist())
    assert 0 in present
    assert len(present) > 5
    assert 0.03 < (train.masks > 0).mean() < 0.7


def test_a_folder_of_scenes_is_a_data_set(tmp_path: Path) -> None:
    write_scenes(tmp_path, "digits", 4, 2, size=48, seed=1)
    data = build_segmentation_data(str(tmp_path))
    assert (len(data.train), len(data.val)) == (4, 2)
    assert data.labels == ("background", *(str(digit) for digit in range(10)))
    train, _ = compose_scenes("digits", 4, 2, size=48, seed=1)
    np.testing.assert_array_equal(data.train.target(3), train.masks[3])
    np.testing.assert_array_equal(np.asarray(data.train.image(3)), train.photos[3])


def test_scenes_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = build_data("scenes/digits/9")
    assert (data.task, len(data.train), len(data.val)) == ("segmentation", 9, 2)
    train, val = compose_scenes("digits", 9, 2)
    np.testing.assert_array_equal(np.asarray(data.train.subset([4]).image(0)), train.photos[4])
    np.testing.assert_array_equal(data.val.target(1), val.masks[1])
    fingerprints = {build_data(name).train.fingerprint() for name in ("scenes/digits/9", "scenes/digits/8")}
    assert data.train.fingerprint() in fingerprints
    assert len(fingerprints) == 2
    everything = build_evaluation(
        "scenes/digits/9", labels=data.labels, part="all", options=DataOptions(task="segmentation")
    ).images
    np.testing.assert_array_equal(everything.target(10), val.masks[1])
    monkeypatch.chdir(tmp_path)
    write_scenes(Path("scenes/digits"), "digits", 3, 2, size=32)
    assert len(build_data("scenes/digits").train) == 3, "a folder comes before a data set of its name"


@pytest.mark.parametrize("name", ["scenes/letters", "scenes/digits/0", "scenes"])
def test_other_names_are_not_scenes(name: str) -> None:
    with pytest.raises(DataError):
        build_data(name)


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(DataError, match="not 'letters'"):
        compose_scenes("letters", 1, 1)
