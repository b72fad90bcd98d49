"""`bitvit predict` on every kind of image, good and bad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitvit as package
from bitvit.runtime import available_isas
from tests.support.command import Command

RANDOM = np.random.default_rng(7)
GREY = RANDOM.integers(0, 256, (24, 31), np.uint8)
RGB = RANDOM.integers(0, 256, (24, 31, 3), np.uint8)

ODD_IMAGES: dict[str, Callable[[], Image.Image]] = {
    "1x1.png": lambda: Image.new("RGB", (1, 1), (200, 10, 30)),
    "20000x1.png": lambda: Image.new("L", (20000, 1), 99),
    "16bit.png": lambda: Image.fromarray(GREY.astype(np.uint16) * 257),
    "palette.png": lambda: Image.fromarray(RGB).convert("P"),
    "cmyk.jpg": lambda: Image.fromarray(RGB).convert("CMYK"),
    "alpha.png": lambda: Image.fromarray(np.dstack([RGB, GREY])),
    "one_bit.png": lambda: Image.fromarray(GREY > 127),
}


def test_json_is_the_answer_of_the_library(bitvit: Command, packed_file: Path, photo: Path) -> None:
    result = bitvit("predict", packed_file, photo, "--top", 3, "--json", "--logits")
    assert (result.code, result.err) == (0, "")
    (found,) = result.json["images"]
    expected = package.load(packed_file).predict(photo, top_k=3)
    assert found["image"] == str(photo)
    assert [(item["label"], item["probability"]) for item in found["predictions"]] == list(expected.top)
    assert np.array_equal(np.array(found["logits"], np.float32), expected.logits)


def test_logits_are_identical_whatever_computes_them(
    bitvit: Command, packed_file: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = bitvit("predict", packed_file, photo, "--json", "--logits").out
    isas = available_isas()
    assert "portable" in isas
    for isa in isas:
        monkeypatch.setenv("BITVIT_ISA", isa)
        for threads in (1, 2):
            assert bitvit("predict", packed_file, photo, "--json", "--logits", "--threads", threads).out == reference, (
                isa,
                threads,
            )


def test_unknown_instruction_set(
    bitvit: Command, packed_file: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITVIT_ISA", "sse9")
    bitvit("predict", packed_file, photo).assert_one_error_line("sse9")


def test_table_shows_the_best_class(bitvit: Command, packed_file: Path, photo: Path) -> None:
    result = bitvit("predict", packed_file, photo)
    assert (result.code, result.err) == (0, "")
    assert package.load(packed_file).predict(photo).label in result.out


def test_folder_is_searched_and_batches_do_not_matter(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    names = ["b.png", "a.PNG", "deeper/c.jpg"]
    for name in names:
        Image.fromarray(RANDOM.integers(0, 256, (20, 20, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    whole = bitvit("predict", packed_file, tmp_path, "--json")
    assert [Path(item["image"]).relative_to(tmp_path).as_posix() for item in whole.json["images"]] == sorted(names)
    assert bitvit("predict", packed_file, tmp_path, "--json", "--batch", 1).out == whole.out


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_odd_images_are_images(bitvit: Command, packed_file: Path, tmp_path: Path, name: str) -> None:
    ODD_IMAGES[name]().save(tmp_path / name)
    result = bitvit("predict", packed_file, tmp_path / name, "--json", "--logits")
    assert (result.code, result.err) == (0, "")
    assert np.isfinite(result.json["images"][0]["logits"]).all()


def _text(path: Path) -> Path:
    path.write_text("this is text")
    return path


def _truncated(path: Path) -> Path:
    Image.fromarray(np.tile(RGB, (8, 8, 1))).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


BAD_IMAGES: dict[str, Callable[[Path], Path]] = {
    "text.png": _text,
    "truncated.jpg": _truncated,
    "missing.png": lambda path: path,
    "empty_folder": _empty_folder,
}


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_bad_images_are_named_in_one_line(
    bitvit: Command, packed_file: Path, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    result = bitvit("predict", packed_file, BAD_IMAGES[name](tmp_path / name), *options)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert name in result.err


def test_a_bad_image_does_not_hide_the_good_ones(
    bitvit: Command, packed_file: Path, photo: Path, tmp_path: Path
) -> None:
    result = bitvit("predict", packed_file, _text(tmp_path / "bad.png"), photo, "--json")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert [item["image"] for item in result.json["images"]] == [str(photo)]


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_threads_must_be_a_number(bitvit: Command, packed_file: Path, photo: Path, value: str) -> None:
    bitvit("predict", packed_file, photo, "--threads", value).assert_one_error_line("--threads", value)
