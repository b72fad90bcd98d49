"""`bitvit train`, `eval` and `export` on a run that takes seconds, and what can go wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitvit as package
from tests.support.command import Command


def test_run_folder_has_everything(finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    assert {"recipe.yaml", "teacher.safetensors", "stage1.safetensors", "model.safetensors"} <= names
    assert {"metrics.csv", "loss.png", "report.json"} <= names
    report = json.loads((finished_run / "report.json").read_text())
    assert [phase["phase"] for phase in report["phases"]] == ["teacher", "stage1", "stage2"]


def test_eval_export_predict(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "digits.bitvit"
    exported = bitvit("export", finished_run, out, "--json")
    assert exported.code == 0
    assert exported.json["size_bytes"] == out.stat().st_size
    assert exported.json["identical_predictions"] >= 0.995
    assert exported.json["images"] > 300
    checkpoint = bitvit("eval", finished_run, "--json").json
    packed = bitvit("eval", out, "--json").json
    assert checkpoint["top1"] == pytest.approx(exported.json["checkpoint_accuracy"])
    assert packed["top1"] == pytest.approx(exported.json["packed_accuracy"])
    assert package.load(out).info.provenance["model"] == "test_gsb_deit"
    assert "accuracy" in bitvit("eval", out, "--per-class").out


def test_resume_needs_only_the_folder(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(finished_run, again)
    result = bitvit("train", "--out", again, "--resume", "--json")
    assert result.code == 0
    assert result.json["phases"] == json.loads((finished_run / "report.json").read_text())["phases"]


def test_resume_where_no_run_is(bitvit: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        result = bitvit("train", "--out", folder, "--resume")
        result.assert_one_error_line("there is no run to resume")
        assert not (folder / "recipe.yaml").exists()
    bitvit("train", "--out", tmp_path / "nowhere", "--resume", "--folds", "3").assert_one_error_line(
        "there is no run to resume"
    )


def test_export_to_standard_output(
    bitvit: Command, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bitvit("export", finished_run, "-", "--json").assert_one_error_line("--json")
    assert bitvit("export", finished_run, "named.bitvit").code == 0
    command = [sys.executable, "-m", "bitvit", "export", str(finished_run), "-"]
    found = subprocess.run(command, capture_output=True, timeout=300, check=True)
    (tmp_path / "piped.bitvit").write_bytes(found.stdout)
    piped, named = (package.load(tmp_path / f"{name}.bitvit") for name in ("piped", "named"))
    images = np.zeros((1, 16, 16, 3), np.uint8)
    assert (piped.logits(images) == named.logits(images)).all()
    assert b"identical predictions" in found.stderr
    assert b"standard output (" in found.stderr
    assert not (tmp_path / "-").exists()


def test_resume_with_another_recipe(bitvit: Command, finished_run: Path) -> None:
    bitvit("train", "--out", finished_run, "--resume", "seed=7").assert_one_error_line("seed")


def test_second_run_in_the_same_folder(bitvit: Command, finished_run: Path, recipe_file: Path) -> None:
    before = (finished_run / "model.safetensors").read_bytes()
    bitvit("train", "--recipe", recipe_file, "--out", finished_run).assert_one_error_line("--resume")
    # Said before the images are looked at, which may take long and may find other faults.
    bitvit("train", "--data", "no such photos", "--out", finished_run).assert_one_error_line("already contains a run")
    assert (finished_run / "model.safetensors").read_bytes() == before


def test_teacher_of_another_run(bitvit: Command, finished_run: Path, recipe_file: Path, tmp_path: Path) -> None:
    result = bitvit(
        "train",
        "--recipe",
        recipe_file,
        "--out",
        tmp_path / "run",
        "--teacher",
        finished_run,
        "stage1.epochs=0",
        "--json",
    )
    assert result.code == 0
    assert [phase["phase"] for phase in result.json["phases"]] == ["teacher", "stage2"]
    assert result.json["phases"][0]["epochs"] == 0


def test_folds(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    result = bitvit(
        "train", "--recipe", recipe_file, "--out", tmp_path / "run", "--folds", 2, "--json",
        "stage1.epochs=0", "distillation.kind=none", "model.init=scratch",
    )  # fmt: skip
    assert result.code == 0
    assert len(result.json["folds"]) == 2
    accuracies = [fold["phases"][-1]["evaluation"]["top1"] for fold in result.json["folds"]]
    assert result.json["top1_mean"] == pytest.approx(sum(accuracies) / 2)
    assert (tmp_path / "run" / "fold1" / "model.safetensors").is_file()


def test_show_recipe_applies_options(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    import yaml

    result = bitvit(
        "train", "--recipe", recipe_file, "--out", tmp_path / "none", "--show-recipe", "--samples-per-class", 5,
        "--label-noise", 0.2, "--seed", 11, "stage2.epochs=9",
    )  # fmt: skip
    recipe = yaml.safe_load(result.out)
    assert recipe["data"]["samples_per_class"] == 5
    assert recipe["data"]["label_noise"] == 0.2
    assert (recipe["seed"], recipe["stage2"]["epochs"]) == (11, 9)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--recipe", "no-such-recipe"), "no-such-recipe"),
        (("stage2.epoch=3",), "stage2.epoch"),
        (("stage2.epochs=many",), "stage2.epochs"),
        (("model.name=no_such_model", "distillation.kind=none", "model.init=scratch"), "no_such_model"),
        (("--data", "no-such-data"), "no-such-data"),
        (("--fold", "1"), "--folds"),
        (("--teacher", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--label-noise", "2"), "--label-noise"),
    ],
)
def test_wrong_requests(
    bitvit: Command, recipe_file: Path, tmp_path: Path, options: tuple[str, ...], part: str
) -> None:
    result = bitvit("train", "--recipe", recipe_file, "--out", tmp_path / "run", *options)
    result.assert_one_error_line(part)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_folders_of_images(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    data = tmp_path / "photos"
    data.mkdir()
    bitvit("train", "--recipe", recipe_file, "--data", data, "--out", tmp_path / "run").assert_one_error_line("photos")
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            (data / split / label).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(data / "train" / "cat" / "a.png")
    bitvit("train", "--recipe", recipe_file, "--data", data, "--out", tmp_path / "run").assert_one_error_line("dog")


def test_output_that_cannot_be_a_folder(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = bitvit("train", "--recipe", recipe_file, "--out", tmp_path / "file" / "run")
    result.assert_one_error_line("file")


def test_export_to_a_place_that_does_not_exist(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    bitvit("export", finished_run, tmp_path / "no" / "x.bitvit").assert_one_error_line("no such folder")
    bitvit("export", finished_run, tmp_path).assert_one_error_line("folder")


def test_export_of_what_is_no_finished_student(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.bitvit"
    bitvit("export", finished_run / "teacher.safetensors", out).assert_one_error_line("teacher.safetensors")
    bitvit("export", finished_run / "stage1.safetensors", out).assert_one_error_line("stage1.safetensors")
    bitvit("export", tmp_path / "nowhere", out).assert_one_error_line("nowhere")
    assert not out.exists()


def test_eval_with_other_classes(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for index in range(5):
            Image.new("L", (8, 8), 20 * index).save(tmp_path / label / f"{index}.png")
    bitvit("eval", finished_run, "--data", tmp_path).assert_one_error_line("'cat', 'dog' are not among the classes")


def test_images_are_recognized_by_what_they_are(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    def photos(place: Path, shade: int) -> Path:
        for number, label in enumerate(("cat", "dog")):
            (place / label).mkdir(parents=True)
            for index in range(10):
                size = (18 + (index + shade) % 5, 18)  # files of other sizes
                Image.effect_noise(size, 60 + number).convert("RGB").save(place / label / f"{index}.png")
        return place

    mine, run, packed = photos(tmp_path / "photos", 0), tmp_path / "run", tmp_path / "photos.bitvit"
    settings = ("data.samples_per_class=null", "batch_size=4")
    assert bitvit("train", "--recipe", recipe_file, "--data", mine, "--out", run, *settings).code == 0
    assert bitvit("export", run, packed).code == 0
    for model in (run, packed):
        assert bitvit("eval", model, "--data", mine, "--json").json["images"] == 4
    others = photos(tmp_path / "second" / "photos", 3)
    for model in (run, packed):
        result = bitvit("eval", model, "--data", others, "--json")
        assert result.json["images"] == 20, "all images of a folder that only has the name"
    assert "not the files that the network was trained on" in result.err
    moved = mine.rename(tmp_path / "moved")
    for model in (run, packed):
        assert bitvit("eval", model, "--data", moved, "--json").json["images"] == 4
    bitvit("eval", run).assert_one_error_line("no such folder", "--data")
    bitvit("train", "--out", run, "--resume").assert_one_error_line("no longer there", "--data")
    assert bitvit("train", "--out", run, "--resume", "--data", moved).code == 0
    moved.rename(mine)
    (mine / "cat" / "99.png").write_bytes((mine / "cat" / "0.png").read_bytes())
    assert "its files have changed since" in bitvit("eval", run).err
