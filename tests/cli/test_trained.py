"""The trained networks that come with bitvit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bitvit
from bitvit.program import read_file
from bitvit.publishing.trained_cards import trained_card
from bitvit.runtime import Predictor
from bitvit.trained import TrainedModel, trained_model, trained_models
from tests.support.command import Command

EVERY = pytest.mark.parametrize("model", trained_models(), ids=lambda model: model.name)


def test_they_are_few_and_small() -> None:
    assert trained_models()
    folder = trained_models()[0].path.parent
    assert sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.suffix != ".py") <= 600_000
    assert trained_model("no such network") is None


@EVERY
def test_sample_is_predicted_by_name(model: TrainedModel, bitvit: Command, tmp_path: Path) -> None:
    (answer,) = bitvit("predict", model.name, model.sample, "--json").json["images"]
    expected = re.search(r"^A picture to try: (.+)$", model.card.read_text(), re.MULTILINE)
    assert expected is not None
    if "shares" in answer:
        found = [row["label"] for row in answer["shares"] if row["share"] > 0.02 and row["label"] != "background"]
        assert " and ".join(found) == expected.group(1)
    else:
        assert answer["predictions"][0]["label"] == expected.group(1)
    assert bitvit("info", model.name, "--json").json["file"] == str(model.path)


@EVERY
def test_card_says_what_the_file_says(model: TrainedModel) -> None:
    card = model.card.read_text("utf-8")
    assert card == trained_card(model), "write it again: python -m bitvit.publishing.trained_cards"
    agreement = read_file(model.path).provenance["agreement"]
    assert f"{agreement['packed_accuracy']:.2%} of {agreement['images']} images" in card
    assert "bitvit train" in card and f'bitvit.load("{model.name}")' in card and "hf://" not in card


def test_digits_have_the_accuracy_of_their_card(bitvit: Command) -> None:
    found = bitvit("eval", "digits", "--data", "digits", "--json").json
    agreement = read_file(trained_models()[0].path).provenance["agreement"]
    assert found["top1"] == pytest.approx(agreement["packed_accuracy"])


def test_library_finds_them_by_name() -> None:
    name = trained_models()[0].name
    assert bitvit.load(name).info == Predictor.from_pretrained(name).info


def test_they_are_listed(bitvit: Command) -> None:
    rows = bitvit("models", "--trained", "--json").json
    assert [row["name"] for row in rows] == [model.name for model in trained_models()]
    assert all(Path(row[key]).is_file() for row in rows for key in ("file", "card", "sample"))
    assert "digits" in bitvit("models", "--trained", "dig*").out
    bitvit("models", "--trained", "nothing*").assert_one_error_line("nothing*")
    assert "digits" in bitvit("models", "gsb_deit_micro*").err


def test_a_local_file_comes_first_and_it_is_said(
    bitvit: Command, packed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()  # a folder is no file: that of the images, perhaps
    result = bitvit("info", "digits", "--json")
    assert result.json["file"] == str(trained_models()[0].path) and result.err == ""
    bitvit("eval", "digits").assert_one_error_line("digits")  # but it may be a run
    (tmp_path / "digits").rmdir()
    (tmp_path / "digits.bitvit").write_bytes(packed_file.read_bytes())
    result = bitvit("info", "digits", "--json")
    assert result.json["file"] == str(trained_models()[0].path) and "digits.bitvit" in result.err
    (tmp_path / "digits").write_bytes(packed_file.read_bytes())
    result = bitvit("info", "digits", "--json")
    assert result.json["file"] == "digits" and "local" in result.err
    assert bitvit("train", "--data", "digits", "--out", "digits", "--show-recipe").code == 0
