"""Flowers-102, Chaoyang, and timm's names, on small data in their on-disk formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bitvit.data import DataError, build_data
from bitvit.data.chaoyang import CHAOYANG_LABELS
from tests.support.idx_files import write_idx_folder


def save_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (value, value, value)).save(path)


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    folder = tmp_path / "flowers-102"
    for number in range(1, 13):
        save_image(folder / "jpg" / f"image_{number:05d}.jpg", 10 * number)
    savemat(folder / "imagelabels.mat", {"labels": np.array([[1 + i % 3 for i in range(12)]], dtype=np.uint8)})
    splits = {"trnid": [[1, 2, 3]], "valid": [[4, 5, 6]], "tstid": [[12, 11, 10, 9, 8, 7]]}
    savemat(folder / "setid.mat", {name: np.array(numbers, dtype=np.uint16) for name, numbers in splits.items()})
    return tmp_path


def test_flowers_trains_on_train_and_val_and_judges_by_test(flowers: Path) -> None:
    data = build_data("flowers102", flowers)
    assert [Path(data.train.describe(i)).stem[-2:] for i in range(6)] == ["01", "02", "03", "04", "05", "06"]
    assert data.train.targets.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.val.targets.tolist() == [2, 1, 0, 2, 1, 0]
    assert data.labels == ("1", "2", "3")
    # JPEG of one grey is exact within a level or two.
    assert abs(int(np.asarray(data.val.image(0))[0, 0, 0]) - 120) <= 2


def test_damaged_flowers_are_named(flowers: Path) -> None:
    (flowers / "flowers-102" / "jpg" / "image_00005.jpg").unlink()
    with pytest.raises(DataError, match=r"image_00005.jpg: no such image"):
        build_data("flowers102", flowers)
    (flowers / "flowers-102" / "setid.mat").write_bytes(b"MATLAB 5.0 MAT-file, or so it says")
    with pytest.raises(DataError, match=r"setid.mat: not a MATLAB file"):
        build_data("flowers102", flowers)
    with pytest.raises(DataError, match="'flowers102' not found"):
        build_data("flowers102", flowers / "flowers-102" / "jpg")


@pytest.fixture
def chaoyang(tmp_path: Path) -> Path:
    for part, count in (("train", 8), ("test", 4)):
        entries = []
        for number in range(count):
            save_image(tmp_path / part / f"{number}.jpg", number)
            entries.append({"name": f"{part}/{number}.jpg", "label": number % 4, "label_A": 0})
        (tmp_path / f"{part}.json").write_text(json.dumps(entries))
    return tmp_path


def test_chaoyang_follows_its_lists(chaoyang: Path) -> None:
    data = build_data("chaoyang", chaoyang)
    assert (len(data.train), len(data.val), data.labels) == (8, 4, CHAOYANG_LABELS)
    assert data.train.targets.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", r"train.json: not a JSON file"),
        ("[]", r"train.json: not a list of images"),
        ('[{"name": "train/0.jpg"}]', r"entry 0 is not"),
        ('[{"name": "train/99.jpg", "label": 1}]', r"99.jpg: no such image"),
        ('[{"name": "train/0.jpg", "label": 4}]', "there are 4 classes"),
    ],
)
def test_damaged_chaoyang_lists_are_named(chaoyang: Path, content: str, message: str) -> None:
    (chaoyang / "train.json").write_text(content)
    with pytest.raises(DataError, match=message):
        build_data("chaoyang", chaoyang)


def test_timm_names_are_opened_without_download(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "FashionMNIST" / "raw", n_classes=10)
    data = build_data("torch/fashion_mnist", tmp_path)
    assert (len(data.train), len(data.val), len(data.labels)) == (12, 6, 10)
    assert data.train.targets.tolist() == [i % 10 for i in range(12)]
    assert data.train.image(0).size == (4, 5)


@pytest.mark.parametrize("name", ["torch/cifar10", "torch/no_such_set"])
def test_unusable_timm_names_are_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' cannot be opened") as caught:
        build_data(name, tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="--data-dir"):
        build_data(name)


@pytest.mark.parametrize("folder", ["pipe:touch {marker}; cat ", "http://localhost:1/x", "hf://datasets/x", "{marker}"])
@pytest.mark.parametrize("name", ["torch/fashion_mnist", "hfds/x", "wds/x", "WDS/x", "hfids/x", "tfds/x"])
def test_a_place_that_is_no_folder_never_reaches_timm(tmp_path: Path, name: str, folder: str) -> None:
    # Libraries behind the names open addresses and run what follows "pipe:".
    marker = tmp_path / "marker"
    with pytest.raises(DataError, match=r"streamed|is no folder"):
        build_data(name, folder.format(marker=marker))
    assert not marker.exists()


def test_shards_are_pointed_to_the_reader_of_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"--data {tmp_path}"):
        build_data("wds/x", tmp_path)
