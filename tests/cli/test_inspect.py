"""`bitvit inspect`: one self-contained page, pictures and numbers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from bitvit.training import train
from tests.support.command import Command
from tests.support.tiny_training import tiny_recipe

FIGURES = ("attention_initial", "attention_trained", "modules", "curves", "maps")


def test_report_of_a_run(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    out = tmp_path / "report"
    result = bitvit("inspect", finished_run, other, "--out", out, "--images", 20, "--maps", 2, "--json")
    assert result.code == 0
    assert result.json == json.loads((out / "inspect.json").read_text())
    assert result.json["images"] == 20
    assert list(result.json["curves"]) == [finished_run.name, "other"]
    page = (out / "report.html").read_text()
    for figure in FIGURES:
        assert (out / f"{figure}.png").read_bytes().startswith(b"\x89PNG"), figure
    assert page.count("data:image/png;base64,") == len(FIGURES)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"{figure}.png" for figure in FIGURES), "inspect.json", "report.html"]
    )
    modules = result.json["modules"]
    assert modules["restored"].keys() == modules["only"].keys()
    assert all(0 <= item["top1"] <= 1 and item["loss"] > 0 for item in modules["only"].values())


def test_what_cannot_be_inspected(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    bitvit("inspect", tmp_path / "nowhere").assert_one_error_line("nowhere")
    bitvit("inspect", finished_run / "teacher.safetensors").assert_one_error_line("no finished binary network")
    bitvit("inspect", finished_run / "stage1.safetensors").assert_one_error_line("no finished binary network")
    bitvit("inspect", finished_run, tmp_path).assert_one_error_line("no training metrics")
    bitvit("inspect", finished_run, "--data", "cifar100").assert_one_error_line()


def test_comparison_methods_cannot_be_taken_apart(bitvit: Command, tmp_path: Path) -> None:
    changes = {"model__kwargs": {}, "model__init": "scratch", "distillation__kind": "none", "stage2__epochs": 1}
    train(tiny_recipe(tmp_path / "data", model__name="test_qvit2_deit", **changes), tmp_path / "run")
    result = bitvit("inspect", tmp_path / "run")
    result.assert_one_error_line("test_qvit2_deit is a comparison method", "loss curves")
    assert not (tmp_path / "run" / "inspect").exists()
