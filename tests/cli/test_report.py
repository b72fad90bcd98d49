"""`bitvit report`: a finished run as one page that needs nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bitvit.training import train
from tests.support.command import Command
from tests.support.tiny_training import tiny_recipe


def test_page_of_a_classifier(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = bitvit("report", finished_run, "--out", out, "--images", 30, "--worst", 5, "--maps", 2, "--json")
    assert result.code == 0, result.err
    numbers, page = result.json, out.read_text("utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:image/png;base64,)", page)
    assert page.count("data:image/png;base64,") == 4
    for section in ("distance", "curves", "confusion", "classes", "worst", "maps"):
        assert f'<h2 id="{section}">' in page
    # The worst are those of the largest loss, with what is right and what was said.
    losses = [item["loss"] for item in numbers["worst"]]
    assert len(losses) == 5 and losses == sorted(losses, reverse=True)
    assert all(0 < item["confidence"] <= 1 and item["target"] and item["answer"] for item in numbers["worst"])
    assert all(item["name"] in page for item in numbers["worst"])
    # Distance to full precision: that of the run's own report, with its sign.
    teacher, final = (numbers["report"]["phases"][i]["evaluation"]["top1"] for i in (0, -1))
    assert f"{100 * (final - teacher):+.2f} points" in page
    apart = f"is {abs(100 * (final - teacher)):.2f} points {'below' if final < teacher else 'above'}"
    assert f"The 1-bit network {'equals' if final == teacher else apart} the full-precision one" in page
    packed = numbers["packed"]
    assert packed["agreement"]["images"] == 30 and f"{packed['size_bytes'] / 1e6:.2f} MB" in page
    assert packed["median_ms"].keys() == {"full precision (PyTorch)", "1-bit packed"}


def test_worst_images_of_the_run_are_all_its_mistakes(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    result = bitvit("report", finished_run, "--out", tmp_path / "page.html", "--worst", 1000, "--maps", 1, "--json")
    found = result.json
    wrong = sum(item["target"] != item["answer"] for item in found["worst"])
    evaluation = found["report"]["phases"][-1]["evaluation"]
    assert found["images"] == len(found["worst"]) == evaluation["images"]
    assert wrong == round((1 - evaluation["top1"]) * evaluation["images"])
    mean = sum(item["loss"] for item in found["worst"]) / len(found["worst"])
    assert mean == pytest.approx(evaluation["loss"], rel=1e-4)


def test_default_place_and_what_is_refused(bitvit: Command, finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    assert bitvit("report", run, "--images", 8).code == 0
    assert (run / "report.html").stat().st_size > 10_000
    bitvit("report", run / "model.safetensors").assert_one_error_line("name the folder")
    bitvit("report", run, "--out", tmp_path).assert_one_error_line("is a folder")
    bitvit("report", tmp_path / "nowhere").assert_one_error_line("nowhere")
    (run / "report.json").write_text("{}")
    bitvit("report", run).assert_one_error_line("report.json")
    (run / "report.json").unlink()
    bitvit("report", run).assert_one_error_line("finish it first")


def test_network_that_cannot_be_packed(bitvit: Command, tmp_path: Path) -> None:
    changes = {"model__kwargs": {}, "model__init": "scratch", "distillation__kind": "none", "stage2__epochs": 1}
    train(tiny_recipe(tmp_path / "data", model__name="test_qvit2_deit", **changes), tmp_path / "run")
    result = bitvit("report", tmp_path / "run", "--images", 8, "--json")
    assert result.code == 0 and result.json["packed"] is None
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "cannot be packed" in page and "no binary attention to show" in page
