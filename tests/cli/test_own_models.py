"""`--import`: a user's own network in train, eval, export and complexity."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.command import Command

ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "tests" / "support" / "hybrid_network.py"
NAME = "hybrid_micro_patch2_16"


@pytest.fixture(autouse=True)
def own_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what `--import` adds to it."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_train_eval_export_predict(bitvit: Command, recipe_file: Path, photo: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "hybrid.bitvit"
    own = ["--import", NETWORK]
    model = [f"model.name={NAME}", "model.init=scratch", "distillation.kind=none"]
    trained = bitvit("train", *own, "--recipe", recipe_file, "--out", run, *model)
    assert trained.code == 0, trained.err
    assert bitvit("eval", *own, run, "--json").json["top1"] >= 0
    exported = bitvit("export", *own, run, file, "--json")
    assert exported.json["identical_predictions"] >= 0.99
    assert bitvit("predict", file, photo).code == 0


def test_complexity_knows_it(bitvit: Command) -> None:
    counted = bitvit("complexity", "--import", NETWORK, NAME, "--json").json
    assert counted["total"]["bops"] > 0
    assert counted["file_bytes"] > counted["total"]["packed_bytes"] > 0


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), ("import surely_not_installed", "surely_not_installed"), ("1 / 0", "ZeroDivisionError")],
)
def test_bad_module_is_one_line(bitvit: Command, tmp_path: Path, content: str | None, words: str) -> None:
    module = tmp_path / f"own_module_{len(words)}.py"
    if content is not None:
        module.write_text(content)
    result = bitvit("complexity", "--import", module, NAME)
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1


def test_wrong_student_is_found_before_the_teacher_trains(bitvit: Command, recipe_file: Path, tmp_path: Path) -> None:
    result = bitvit("train", "--recipe", recipe_file, "--out", tmp_path / "run", "model.name=surely_no_model")
    assert result.code == 2
    assert "unknown model 'surely_no_model'" in result.err
    assert not (tmp_path / "run").exists()
