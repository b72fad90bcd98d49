"""A user's own image folders, good and bad, and the rules of `build_data`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.data import DataError, DataOptions, ImageSet, build_data
from bitvit.errors import ImageError
from bitvit.program import Preprocessing

PREPROCESSING = Preprocessing((8, 8), 8)


def fill(folder: Path, count: int, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(folder / f"{number}{suffix}")


def test_train_and_val_folders(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 2)):
        for label in ("cat", "dog"):
            fill(tmp_path / part / label, count)
    fill(tmp_path / "train" / "dog" / "deeper", 1, ".JPG")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    for name, data_dir in (("folder", tmp_path), (str(tmp_path), None)):
        data = build_data(name, data_dir)
        assert (len(data.train), len(data.val), data.labels) == (9, 4, ("cat", "dog"))
        assert np.bincount(data.train.targets).tolist() == [4, 5]


def test_plain_folder_is_split_alike_for_every_seed_but_the_splits_own(tmp_path: Path) -> None:
    for label in ("a", "b", "c"):
        fill(tmp_path / label, 10)

    def names(images: ImageSet) -> list[str]:
        return [images.describe(i) for i in range(len(images))]

    first = build_data("folder", tmp_path, DataOptions(val_fraction=0.3, seed=1))
    assert (len(first.train), len(first.val)) == (21, 9)
    assert names(build_data("folder", tmp_path, DataOptions(val_fraction=0.3, seed=2)).val) == names(first.val)
    assert names(build_data("folder", tmp_path, DataOptions(val_fraction=0.3, split_seed=2)).val) != names(first.val)


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        build_data("folder", tmp_path / "missing")
    with pytest.raises(DataError, match="is empty"):
        build_data("folder", tmp_path)
    fill(tmp_path / "only", 3)
    with pytest.raises(DataError, match="has 1 class"):
        build_data("folder", tmp_path)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="class 'bare' has no images"):
        build_data("folder", tmp_path)
    with pytest.raises(DataError, match="needs its folder"):
        build_data("folder")


def test_val_class_that_training_does_not_know_is_refused(tmp_path: Path) -> None:
    for label in ("a", "b"):
        fill(tmp_path / "train" / label, 2)
    fill(tmp_path / "val" / "z", 2)
    with pytest.raises(DataError, match="'z' is not among the classes that are trained"):
        build_data("folder", tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_unreadable_image_is_named_when_it_is_used(tmp_path: Path, damage: str) -> None:
    for label in ("a", "b"):
        fill(tmp_path / "train" / label, 2, ".jpg")
        fill(tmp_path / "val" / label, 1, ".jpg")
    bad = tmp_path / "train" / "b" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:-60] if damage == "truncated" else b"this is text")
    train = build_data("folder", tmp_path).train
    position = [train.describe(i) for i in range(len(train))].index(str(bad))
    with pytest.raises(ImageError, match=r"0\.jpg"):
        train.image(position)
    with pytest.raises(ImageError, match=r"0\.jpg"):
        train.pixels(position, PREPROCESSING)


def test_unknown_names_come_with_a_suggestion() -> None:
    with pytest.raises(DataError, match="did you mean 'fashion-mnist'"):
        build_data("fashion_mnist")
    with pytest.raises(DataError, match="known are digits"):
        build_data("xyzzy")


def test_digits_are_split_and_as_published() -> None:
    data = build_data("digits")
    assert (len(data.train), len(data.val)) == (1438, 359)
    assert data.labels == tuple("0123456789")
    image = data.train.raw(0)
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype) == ((32, 32), np.uint8)
    batch, targets = next(data.val.batches(Preprocessing((32, 32), 32), 7))
    assert (batch.shape, batch.dtype, targets.shape) == ((7, 32, 32, 3), np.uint8, (7,))


def test_settings_of_the_paper_apply_to_training_images_only() -> None:
    plain = build_data("digits")
    data = build_data("digits", options=DataOptions(samples_per_class=20, label_noise=0.4, seed=3))
    assert len(data.train) == 200
    true = {int(index): int(target) for index, target in zip(plain.train.indices, plain.train.targets, strict=True)}
    wrong = sum(true[int(i)] != int(t) for i, t in zip(data.train.indices, data.train.targets, strict=True))
    assert wrong == 80
    assert data.val.targets.tolist() == plain.val.targets.tolist()


def test_contradictory_settings_are_refused() -> None:
    with pytest.raises(DataError, match="both"):
        build_data("digits", options=DataOptions(folds=5))
    with pytest.raises(DataError, match="val_fraction"):
        build_data("digits", options=DataOptions(val_fraction=1.0))
    assert len(build_data("digits", options=DataOptions(folds=5, fold=4)).val) == 287


def test_data_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'timm', 'lightning'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import bitvit.data; print(len(bitvit.data.build_data('digits').val))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "359", done.stderr
