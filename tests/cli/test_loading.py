"""What is said while PyTorch is loaded."""

from __future__ import annotations

import sys
import threading

import pytest

from bitvit.cli import deferred_imports
from bitvit.cli.deferred_imports import load_pytorch


def test_a_slow_start_says_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        said.set()

    def slow(name: str) -> None:
        assert said.wait(60), name

    monkeypatch.setattr(deferred_imports, "print_note", note)
    monkeypatch.setattr(deferred_imports, "import_module", slow)
    monkeypatch.setattr(deferred_imports, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    load_pytorch("lightning.pytorch")
    assert lines == ["loading PyTorch ..."]


def test_a_fast_start_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    imported: list[str] = []
    monkeypatch.setattr(deferred_imports, "import_module", imported.append)
    monkeypatch.setattr(deferred_imports, "_PATIENCE_SECONDS", 3600.0)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    load_pytorch("lightning.pytorch")
    assert imported == ["torch", "timm", "lightning.pytorch"]
    assert capsys.readouterr() == ("", "")


def test_what_is_loaded_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.setattr(deferred_imports, "import_module", lambda name: pytest.fail(name))
    load_pytorch()
