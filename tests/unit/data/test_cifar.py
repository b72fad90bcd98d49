"""CIFAR-10 and CIFAR-100 in both distributions, and pickles that would run code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitvit.data import DataError, build_data

RNG = np.random.default_rng(7)
IMAGES = {
    part: RNG.integers(0, 256, size=(count, 32, 32, 3), dtype=np.uint8) for part, count in (("train", 8), ("test", 4))
}
TARGETS = {part: [i % 4 for i in range(len(IMAGES[part]))] for part in IMAGES}
NAMES = ["apple", "aquarium_fish", "baby", "bear"]


def planes(part: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return IMAGES[part].transpose(0, 3, 1, 2).reshape(len(IMAGES[part]), -1)


def as_python2(pickled: bytes) -> bytes:
    """Turn unicode strings (opcode X) into the byte strings (U) of Python 2, which wrote the published files."""
    for text in ("data", "fine_labels", "coarse_labels", "fine_label_names", *NAMES):
        old = b"X" + len(text).to_bytes(4, "little") + text.encode()
        pickled = pickled.replace(old, b"U" + len(text).to_bytes(1, "little") + text.encode())
    return pickled


def write_python(folder: Path) -> None:
    folder.mkdir(parents=True)
    for part in IMAGES:
        content = {"data": planes(part), "fine_labels": TARGETS[part], "coarse_labels": [0] * len(TARGETS[part])}
        (folder / part).write_bytes(as_python2(pickle.dumps(content, protocol=2)))
    (folder / "meta").write_bytes(as_python2(pickle.dumps({"fine_label_names": NAMES}, protocol=2)))


def write_binary(folder: Path) -> None:
    folder.mkdir(parents=True)
    for part in IMAGES:
        head = np.stack([np.zeros(len(TARGETS[part])), TARGETS[part]], axis=1).astype(np.uint8)
        (folder / f"{part}.bin").write_bytes(np.concatenate([head, planes(part)], axis=1).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(NAMES) + "\n")


@pytest.mark.parametrize(("folder", "write"), [("cifar-100-python", write_python), ("cifar-100-binary", write_binary)])
def test_both_distributions_give_the_same_images(tmp_path: Path, folder: str, write: Any) -> None:
    write(tmp_path / folder)
    for data_dir in (tmp_path, tmp_path / folder):
        data = build_data("cifar100", data_dir)
        assert data.labels == tuple(NAMES)
        for part, images in (("train", data.train), ("test", data.val)):
            assert images.targets.tolist() == TARGETS[part]
            for position in range(len(images)):
                np.testing.assert_array_equal(images.raw(position), IMAGES[part][position])


BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


def write_cifar10(folder: Path, is_binary: bool) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], list[int]]:
    """Write five files of two training images each and one of three test images; return the training images."""
    folder.mkdir(parents=True)
    images = RNG.integers(0, 256, size=(10, 32, 32, 3), dtype=np.uint8)
    targets = [i % 4 for i in range(10)]
    flat = images.transpose(0, 3, 1, 2).reshape(10, -1)
    parts = {name: (flat[2 * i : 2 * i + 2], targets[2 * i : 2 * i + 2]) for i, name in enumerate(BATCHES)}
    parts["test_batch"] = flat[:3], targets[:3]
    for name, (pixels, classes) in parts.items():
        if is_binary:
            head = np.array(classes, dtype=np.uint8)[:, None]
            (folder / f"{name}.bin").write_bytes(np.concatenate([head, pixels], axis=1).tobytes())
        else:
            (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": classes}, protocol=2))
    if is_binary:
        (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    else:
        (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}, protocol=2))
    return images, targets


@pytest.mark.parametrize(("folder", "is_binary"), [("cifar-10-batches-py", False), ("cifar-10-batches-bin", True)])
def test_the_five_files_of_cifar10_are_one_set(tmp_path: Path, folder: str, is_binary: bool) -> None:
    images, targets = write_cifar10(tmp_path / folder, is_binary)
    data = build_data("cifar10", tmp_path)
    assert (data.labels, data.train.targets.tolist(), len(data.val)) == (tuple(NAMES), targets, 3)
    for position in range(10):
        np.testing.assert_array_equal(data.train.raw(position), images[position])
    assert "data_batch_1" in data.train.describe(3)


@pytest.mark.parametrize("is_binary", [False, True])
def test_damaged_files_of_cifar10_are_named(tmp_path: Path, is_binary: bool) -> None:
    folder = tmp_path / "files"
    write_cifar10(folder, is_binary)
    path = folder / ("data_batch_3.bin" if is_binary else "data_batch_3")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="data_batch_3"):
        build_data("cifar10", folder)
    path.unlink()
    with pytest.raises(DataError, match="data set 'cifar10' not found"):
        build_data("cifar10", folder)


class Attack:
    """Unpickled without restrictions, it makes a folder."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.victim),)


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    write_python(folder)
    victim = tmp_path / "victim"
    payload = pickle.dumps({"data": Attack(victim)}, protocol=2)
    pickle.loads(payload)
    assert victim.is_dir(), "the attack would not work anyway, so this test shows nothing"
    victim.rmdir()
    (folder / "train").write_bytes(payload)
    with pytest.raises(DataError, match=r"train: not a CIFAR file .*mkdir"):
        build_data("cifar100", tmp_path)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps([1, 2]), pickle.dumps({"data": 3, "fine_labels": []})])
def test_damaged_pickles_are_named(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "cifar-100-python"
    write_python(folder)
    (folder / "test").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-100-python.test"):
        build_data("cifar100", tmp_path)


def test_truncated_binary_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    write_binary(folder)
    (folder / "train.bin").write_bytes((folder / "train.bin").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train.bin: truncated"):
        build_data("cifar100", tmp_path)
