"""What a file says of its training images: somebody else may have written it, to reach files, addresses, commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.command import Command
from tests.support.sealed_file import edited


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for label in ("a", "b", "c"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def _file(folder: Path, data: Any) -> Path:
    path = folder / "network.bitvit"
    path.write_bytes(edited(labels=json.dumps(["a", "b", "c"]), provenance=json.dumps({"data": data})))
    return path


@pytest.mark.parametrize(
    "data",
    [
        {"name": "wds/x", "folder": "pipe:touch {marker}; cat "},
        {"name": "wds/x", "folder": "http://localhost:1/shards"},
        {"name": "hfds/somebody/something", "folder": "{place}"},
        {"name": "torch/cifar10", "folder": "{place}"},
        {"name": "{place}"},
        {"name": "folder", "folder": "{place}"},
        {"name": "idx", "folder": "{place}"},
        {"name": "../photos"},
        {"name": "~nobody"},
        {"name": "/dev/zero"},
        {"name": "https://localhost:1/images"},
    ],
)
def test_a_file_chooses_no_place(
    bitvit: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    marker = tmp_path / "marker"
    filled = {key: text.format(place=images, marker=marker) for key, text in data.items()}
    bitvit("eval", _file(tmp_path, filled)).assert_one_error_line("--data")
    assert not marker.exists()


def test_a_recipe_starts_no_command(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    words = ("train", "--recipe", recipe_file, "--out", tmp_path / "run", "--data", "wds/x")
    bitvit(*words, "--data-dir", f"pipe:touch {marker}; cat ").assert_one_error_line("wds/x", "streamed")
    words = (*words[:-1], "torch/cifar10")
    bitvit(*words, "--data-dir", f"pipe:touch {marker}; cat ").assert_one_error_line("is no folder")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 1),
        ("name", {"a": 1}),
        ("name", "a\0b"),
        ("files_digest", []),
        ("val_fraction", "text"),
        ("val_fraction", 3),
        ("split_seed", -1),
        ("split_seed", 1e300),
        ("split_seed", True),
        ("split_seed", 10**30),
        ("folds", "x"),
        ("fold", [1]),
        ("layout", {"a": 1}),
        ("max_pixels", "many"),
        ("max_pixels", 0),
        ("on_error", ["skip"]),
        ("on_error", "\x1b[31m"),
    ],
)
def test_entries_of_another_kind(bitvit: Command, images: Path, tmp_path: Path, key: str, value: Any) -> None:
    path = _file(tmp_path, {"name": "photos", key: value})
    bitvit("eval", path, "--data", images).assert_one_error_line("damaged", key)


@pytest.mark.parametrize("data", [None, True, 1, "digits", ["digits"], {}, {"name": None}, {"name": ""}])
def test_nothing_of_use(bitvit: Command, images: Path, tmp_path: Path, data: Any) -> None:
    path = _file(tmp_path, data)
    bitvit("eval", path).assert_one_error_line("--data")
    assert bitvit("eval", path, "--data", images, "--json").json["images"] == 9


def test_a_folder_of_that_name_right_here(
    bitvit: Command, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    path = _file(tmp_path, {"name": "photos", "val_fraction": 0.34})
    assert bitvit("eval", path, "--json").json["images"] == 3
    assert os.path.isdir("photos")
