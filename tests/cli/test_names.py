"""Names of files, folders and classes are printed as they are, by every command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitvit.export import export_model
from bitvit.models import create_model
from tests.support.command import Command

MARKUP = [
    "photo [copy]",
    ":smile:",
    "[tabby] c",
    "[bold red]x[/]",
    "a  b",
    "[link=http://x]y",
    "{z} %s $x$",
    "日本 [1]",
]
LABELS = [
    "[tabby] c",
    ":smile:",
    "[/x]",
    "\x1b[31mred",
    "link \x1b]8;;http://evil\x07x",
    "$x^$",
    "[bold]b",
    "0\u202e1",
    "ü",
    "[9]",
]
SHOWN = [
    "[tabby] c",
    ":smile:",
    "[/x]",
    "\\x1b[31mred",
    "link \\x1b]8;;http://evil\\x07x",
    "$x^$",
    "[bold]b",
    "0\\u202e1",
    "ü",
    "[9]",
]


@pytest.fixture(scope="module")
def odd_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network whose classes have names that a terminal would obey."""
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("odd [bold]") / "net [copy] :dog:.bitvit"
    export_model(create_model("test_gsb_deit"), path, labels=LABELS)
    return path


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return path


def assert_shows(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, (part, text)
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("name", MARKUP)
def test_predict_prints_paths(bitvit: Command, packed_file: Path, tmp_path: Path, name: str) -> None:
    image = save(tmp_path / f"{name}.png")
    result = bitvit("predict", packed_file, image)
    assert (result.code, result.err) == (0, "")
    assert_shows(result.out, str(image))


def test_a_path_that_looks_like_a_closing_tag(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    images = [save(tmp_path / "dir[" / "x].png"), save(tmp_path / "plain.png")]
    result = bitvit("predict", packed_file, tmp_path)
    assert (result.code, result.err) == (0, "")
    assert_shows(result.out, *map(str, images))


def test_control_characters_and_bytes_in_paths(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "a\x1b[31m\nb.png")
    result = bitvit("predict", packed_file, image)
    assert result.code == 0
    assert_shows(result.out, "a\\x1b[31m\\nb.png")
    missing = bitvit("predict", packed_file, tmp_path / "no\x1b]0;title\x07 [/b] \nnow.png")
    assert missing.code == 2
    assert missing.err.count("\n") == 1
    assert_shows(missing.err, "no\\x1b]0;title\\x07 [/b] \\nnow.png")
    try:
        latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
        shutil.copy(image, latin)
    except OSError:
        return  # this file system has UTF-8 names only
    result = bitvit("predict", packed_file, latin)
    assert result.code == 0
    assert_shows(result.out, "caf\\xe9.png")


def test_labels_of_a_file(bitvit: Command, odd_file: Path, photo: Path) -> None:
    result = bitvit("predict", odd_file, photo, "--top", 10)
    assert (result.code, result.err) == (0, "")
    assert_shows(result.out, *SHOWN)
    document = bitvit("predict", odd_file, photo, "--top", 10, "--json").json
    assert {item["label"] for item in document["images"][0]["predictions"]} == set(LABELS)
    for command in (("info", odd_file), ("info", odd_file, "--ops")):
        shown = bitvit(*command)
        assert shown.code == 0
        assert_shows(shown.out, str(odd_file), *SHOWN[:9])
    shown = bitvit("complexity", odd_file)
    assert shown.code == 0
    assert_shows(shown.out, odd_file.name)


def test_eval_prints_class_and_folder_names(bitvit: Command, odd_file: Path, tmp_path: Path) -> None:
    names = [label for label in LABELS if "/" not in label and "\x1b" not in label]
    for name in names:
        save(tmp_path / "mine [bold]" / name / "0.png")
    result = bitvit("eval", odd_file, "--data", tmp_path / "mine [bold]", "--per-class")
    assert result.code == 0
    assert_shows(result.out, "mine [bold]", *[SHOWN[LABELS.index(name)] for name in names])
    assert_shows(result.err, "'[/x]'", "'\\x1b[31mred'")


def test_error_lines_keep_spaces_and_brackets(bitvit: Command, tmp_path: Path) -> None:
    for command in (("info",), ("eval",), ("export",), ("complexity",), ("bench",), ("inspect",)):
        target = tmp_path / "no  such [/x] :dog:.bitvit"
        extra = [tmp_path / "out.bitvit"] if command == ("export",) else []
        result = bitvit(*command, target, *extra)
        result.assert_one_error_line("no  such [/x] :dog:.bitvit")


def test_training_prints_class_names(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    for label in ("[tabby] c", ":smile:"):
        for part, count in (("Train", 9), ("Val", 2)):
            for number in range(count):
                save(tmp_path / "[b]photos" / part / label / f"{number}.png")
    out = tmp_path / "run [/x]"
    choice = ("--data", tmp_path / "[b]photos", "data.samples_per_class=null")
    result = bitvit("train", "--recipe", recipe_file, "--out", out, *choice)
    assert result.code == 0, result.err
    assert_shows(result.err, "[tabby] c 9 + 2", ":smile: 9 + 2", "run [/x]")
    assert_shows(result.out, "[b]photos")
    packed = tmp_path / "p [x].bitvit"
    exported = bitvit("export", out, packed)
    assert exported.code == 0, exported.err
    assert_shows(exported.out, "p [x].bitvit")
