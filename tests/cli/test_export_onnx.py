"""`bitvit export RUN net.onnx`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_command(bitvit: Command, packed_file: Path, finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.onnx"
    result = bitvit("export", finished_run, out, "--images", 40, "--json")
    assert result.code == 0, result.err
    report = result.json
    assert report["file"] == str(out) and report["size_bytes"] == out.stat().st_size
    assert report["onnx"]["images"] == 40 and report["onnx"]["identical_predictions"] >= 0.9
    onnx.checker.check_model(str(out))
    table = bitvit("export", finished_run, out, "--images", 40)
    assert "ONNX Runtime" in table.out and table.code == 0
    # A packed file becomes ONNX as well, without images.
    again = tmp_path / "file.onnx"
    assert bitvit("export", packed_file, again).code == 0
    onnx.checker.check_model(str(again))
    bitvit("export", packed_file, tmp_path / "copy.bitvit").assert_one_error_line(".onnx")
    bitvit("export", packed_file, tmp_path / "no folder" / "net.onnx").assert_one_error_line("no folder")
    assert not list(tmp_path.glob(".*"))
