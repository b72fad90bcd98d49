"""IDX files: both spellings, both compressions, and every way of being damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from bitvit.data import DataError, build_data
from bitvit.data.idx import FASHION_MNIST_LABELS, read_idx
from tests.support.idx_files import idx_bytes, write_idx_folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_folder_is_read_whatever_its_spelling(tmp_path: Path, separator: str, suffix: str) -> None:
    write_idx_folder(tmp_path, separator, suffix)
    data = build_data("idx", tmp_path)
    assert (len(data.train), len(data.val), data.labels) == (12, 6, ("0", "1", "2"))
    image = data.train.raw(0)
    assert isinstance(image, np.ndarray)
    assert image.shape == (5, 4)
    assert data.train.targets.tolist() == [i % 3 for i in range(12)]


def test_folder_is_recognized_by_its_path_and_colour_is_kept(tmp_path: Path) -> None:
    write_idx_folder(tmp_path, rgb=True)
    image = build_data(str(tmp_path)).train.raw(3)
    assert isinstance(image, np.ndarray)
    assert image.shape == (5, 4, 3)


def test_fashion_mnist_is_found_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_folder(tmp_path / "fashion-mnist", suffix=".gz", n_classes=10)
    monkeypatch.setenv("BITVIT_DATA", str(tmp_path))
    data = build_data("fashion-mnist")
    assert data.labels == FASHION_MNIST_LABELS
    assert len(data.train) == 12


def test_fashion_mnist_of_the_system_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_folder(tmp_path / "datasets" / "fashion-mnist", suffix=".gz", n_classes=10)
    monkeypatch.delenv("BITVIT_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert len(build_data("fashion-mnist").val) == 6


def test_missing_fashion_mnist_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITVIT_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"mine.*--data-dir.*apt-get install dataset-fashion-mnist"):
        build_data("fashion-mnist")
    with pytest.raises(DataError, match="no such folder"):
        build_data("fashion-mnist", tmp_path / "nowhere")


GOOD = idx_bytes(np.zeros((2, 3, 3), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (GOOD[:7], "truncated in its header"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"x", "longer than its header says"),
        (idx_bytes(np.zeros((2, 3, 3), np.uint8), kind=0x0D), "type 0x0d"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**31, 2**31, 2**31), "sensibly"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_truncated_gzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(GOOD)[:-12])
    with pytest.raises(DataError, match=r"cannot be read|truncated"):
        read_idx(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path)


def test_labels_must_fit_the_images(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(11, np.uint8)))
    with pytest.raises(DataError, match="11 labels for 12 images"):
        build_data("idx", tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="has no train-labels-idx1-ubyte"):
        build_data("idx", tmp_path)
