"""`bitvit web`: what it writes and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bitvit.trained import trained_model
from bitvit.web import page
from tests.support.command import Command


@pytest.fixture(autouse=True)
def template(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "template").write_text("<script>/*MODELS*/</script>", "utf-8")
    monkeypatch.setattr(page, "TEMPLATE", tmp_path / "template")
    monkeypatch.chdir(tmp_path)


def test_the_page_has_the_model_and_its_picture(bitvit: Command) -> None:
    result = bitvit("web", "digits")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("wrote digits.html (")
    text = Path("digits.html").read_text()
    assert '"name": "digits.bitvit"' in text and '"name": "digits.png"' in text


def test_pictures_of_ones_own(bitvit: Command) -> None:
    digits = trained_model("digits")
    assert digits is not None
    os.link(digits.sample, "seven.png")
    result = bitvit("web", digits.path, "--pictures", "seven.png", "--out", "page.html")
    assert result.code == 0
    assert '"name": "seven.png"' in Path("page.html").read_text()


def test_what_goes_in_is_not_written_over(bitvit: Command) -> None:
    digits = trained_model("digits")
    assert digits is not None
    Path("own.bitvit").write_bytes(digits.path.read_bytes())
    bitvit("web", "own.bitvit", "--out", "own.bitvit").assert_one_error_line("own.bitvit", "overwritten")
    assert Path("own.bitvit").read_bytes() == digits.path.read_bytes()


def test_bad_input(bitvit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    bitvit("web", "missing.bitvit").assert_one_error_line("missing.bitvit")
    Path("bad.bitvit").write_bytes(b"abc")
    bitvit("web", "bad.bitvit").assert_one_error_line("bad.bitvit")
    bitvit("web", "digits", "--out", ".").assert_one_error_line("folder")
    bitvit("web", "digits", "--out", "no/where.html").assert_one_error_line("no")
    monkeypatch.setattr(page, "TEMPLATE", Path("not-built"))
    bitvit("web", "digits").assert_one_error_line("make web")
    assert not list(Path().glob("*.html"))
