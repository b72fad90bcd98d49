"""Segmentation from the command line: what is found out, what is refused, and that figures agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.data.segmentation import write_scenes
from tests.support.command import Command

OVERRIDES = (
    *("model.name=test_bhvit_fpn", "teacher.model=test_resnet18_fpn", "model.image_size=32", "batch_size=4"),
    *("teacher.epochs=1", "teacher.warmup_epochs=0", "stage2.epochs=1", "stage2.warmup_epochs=0"),
    *("runtime.threads=1", "runtime.tensorboard=false"),
)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve small scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, "digits", 8, 4, size=40)
    return folder


def test_train_finds_out_and_eval_judges_alike(bitvit: Command, scenes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = bitvit("train", "--data", scenes, "--out", run, "--recipe", "seg-micro", "--json", *OVERRIDES)
    assert result.code == 0, result.err
    figures = result.json["phases"][-1]["evaluation"]
    assert len(figures["iou"]) == 11
    assert 0 <= figures["miou"] <= 1
    assert {"recipe.yaml", "model.safetensors", "confusion.png"} <= {path.name for path in run.iterdir()}
    again = bitvit("eval", run, "--json")
    assert again.code == 0, again.err
    for key in ("miou", "pixel_accuracy", "iou", "confusion", "images", "pixels"):
        assert again.json[key] == figures[key], key
    named = bitvit("eval", run, "--data", scenes, "--json").json
    assert named["miou"] == figures["miou"]
    assert "mIoU" in bitvit("eval", run, "--per-class").out


def test_the_recipe_follows_the_size_of_the_photos(bitvit: Command, scenes: Path, tmp_path: Path) -> None:
    result = bitvit("train", "--data", scenes, "--out", tmp_path / "run", "--show-recipe")
    assert "name: seg-micro" in result.out
    assert "recipe seg-micro" in result.err + result.out


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (("--recipe", "gsb-micro"), r"model\.name: .* is for classification"),
        (("--recipe", "seg-micro", "--label-noise", "0.1"), "label_noise"),
        (("--recipe", "seg-micro", "augmentation.mixup=0.5", *OVERRIDES), r"augmentation\.mixup"),
        (("--recipe", "seg-micro", "data.balance=sampling", *OVERRIDES), r"data\.balance"),
        (("--recipe", "seg-micro", "model.image_size=30", *OVERRIDES[:2], *OVERRIDES[3:]), "multiples of"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    bitvit: Command, scenes: Path, tmp_path: Path, options: tuple[str, ...], pattern: str
) -> None:
    import re

    result = bitvit("train", "--data", scenes, "--out", tmp_path / "run", *options)
    assert result.code == 2
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert re.search(pattern, result.err.replace("\n", " ")), result.err


def test_a_bad_mask_stops_before_training(bitvit: Command, tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", "digits", 4, 2, size=32)
    (tmp_path / "scenes" / "masks" / "val" / "0001.png").unlink()
    result = bitvit("train", "--data", tmp_path / "scenes", "--out", tmp_path / "run", "--recipe", "seg-micro")
    assert result.code == 2
    assert "images/val/0001.png" in result.err
    assert not (tmp_path / "run" / "model.safetensors").exists()
