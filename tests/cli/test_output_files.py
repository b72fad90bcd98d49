"""What a command reads is never written over; what it tells to do next can be pasted."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitvit.export import export_model
from bitvit.models import create_model
from tests.support.command import Command


@pytest.mark.parametrize("out", ["net", "photo", "link"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "table"])
def test_predictions_do_not_replace_network_or_photos(
    bitvit: Command, packed_file: Path, photo: Path, tmp_path: Path, kind: str, out: str
) -> None:
    network = tmp_path / "net.bitvit"
    shutil.copy(packed_file, network)
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = photo.rename(photos / photo.name)
    (tmp_path / "link.csv").symlink_to(photo)
    path = {"net": network, "photo": photo, "link": tmp_path / "link.csv"}[out]
    before = path.read_bytes()
    result = bitvit("predict", network, photos, "--format", kind, "--out", path)
    result.assert_one_error_line("would be overwritten")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["model.safetensors", "teacher.safetensors", "recipe.yaml"])
@pytest.mark.parametrize("command", [("export",), ("report", "--out")])
def test_a_run_is_not_written_over(
    bitvit: Command, finished_run: Path, tmp_path: Path, command: tuple[str, ...], name: str
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    before = (run / name).read_bytes()
    bitvit(command[0], run, *command[1:], run / name).assert_one_error_line("would be overwritten")
    assert (run / name).read_bytes() == before


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_masks_do_not_replace_photos(bitvit: Command, tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    network = tmp_path / "net.bitvit"
    model = create_model("test_bhvit_fpn", num_classes=3)
    export_model(model, network, labels=["a", "b", "c"], task="segmentation", colors=[(0, 0, 0)] * 3)
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(photos / f"a{suffix}")
    Image.fromarray(pixels).save(photos / "b.png")
    (photos / "a.png").write_bytes((photos / "b.png").read_bytes())
    before = {path: path.read_bytes() for path in photos.iterdir()}
    for words in (["--out", photos], ["--out", tmp_path / "masks", "--overlay", photos]):
        result = bitvit("predict", network, photos, *words)
        result.assert_one_error_line("would overwrite the photo")
        assert {path: path.read_bytes() for path in photos.iterdir()} == before


@pytest.mark.parametrize("name", ["my run", "-run", "."])
def test_the_next_command_can_be_pasted(
    bitvit: Command, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    result = bitvit("train", "--recipe", recipe_file, f"--out={name}")
    assert result.code == 0, result.err
    (line,) = [line for line in result.err.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    assert words[-1] == {"my run": "my run.bitvit", "-run": "./-run.bitvit", ".": "here.bitvit"}[name]
    exported = bitvit(*words[1:])
    assert exported.code == 0, exported.err
    assert Path(words[-1]).is_file()


def test_a_run_where_a_file_is_expected(bitvit: Command, finished_run: Path, photo: Path) -> None:
    bitvit("predict", finished_run, photo).assert_one_error_line("make one with `bitvit export`")


def test_the_network_comes_first(bitvit: Command, packed_file: Path, photo: Path) -> None:
    bitvit("predict", photo, packed_file).assert_one_error_line("the network comes first: bitvit predict")


def test_patterns_that_no_shell_expanded(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    for name in ("a 1.png", "b.png", "[c].png"):
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    result = bitvit("predict", packed_file, tmp_path / "*.png", "--format", "csv")
    assert [Path(line.split(",")[0]).name for line in result.out.splitlines()[1:]] == ["[c].png", "a 1.png", "b.png"]
    assert len(bitvit("predict", packed_file, tmp_path / "[c].png", "--format", "csv").out.splitlines()) == 2
    bitvit("predict", packed_file, "https://example.org/a.png").assert_one_error_line("nothing is downloaded")


def test_folders_without_their_option(bitvit: Command, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    photos = tmp_path / "photos"
    bitvit("train", photos, "--out", tmp_path / "run").assert_one_error_line(f"--data {photos}")
    words = ("train", "--data", photos / "cat", photos / "dog", "--out", tmp_path / "run")
    bitvit(*words).assert_one_error_line("--data takes one folder")


def test_an_image_is_no_checkpoint(bitvit: Command, photo: Path) -> None:
    bitvit("eval", photo).assert_one_error_line("its content is something else")
