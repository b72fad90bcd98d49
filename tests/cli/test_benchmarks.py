"""The scripts in `benchmarks/` run, and print one JSON document or Markdown tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import PIL
import pytest

ROOT = Path(__file__).parents[2]


def _run(script: str, *options: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(ROOT / "benchmarks" / script), *options]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _run_code(code: str) -> str:
    path = os.pathsep.join([str(ROOT / "benchmarks"), *(path for path in sys.path if path)])
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    ).stdout


def test_latency_of_several_models() -> None:
    options = ("--models", "test_gsb_deit", "test_binaryvit", "--only-bitvit", "--rounds", "3")
    documents = json.loads(_run("latency.py", *options, "--json"))
    assert [document["model"] for document in documents] == ["test_gsb_deit", "test_binaryvit"]
    tables = _run("latency.py", *options, "--markdown")
    assert "| `test_binaryvit` |" in tables


def test_kernels() -> None:
    document = json.loads(_run("kernels.py", "--model", "test_gsb_deit", "--runs", "2", "--json"))
    operators = {item["op"] for item in document["models"]["test_gsb_deit"]}
    assert operators >= {"binary_linear", "binary_linear_threshold", "attention_masks", "value_product"}
    assert "| test_gsb_deit |" in _run("kernels.py", "--model", "test_gsb_deit", "--runs", "2", "--markdown")


def test_training_step() -> None:
    options = ("--model", "test_gsb_deit", "--batch", "2", "--rounds", "1", "--modes", "eager", "--precisions", "fp32")
    document = json.loads(_run("training.py", *options, "--device", "cpu", "--json"))
    (row,) = document["rows"]
    assert (row["mode"], row["precision"]) == ("eager", "fp32")
    assert row["peak_bytes"] > row["floor_peak_bytes"] > 0, "a binary step keeps more than the full-precision one"
    assert row["memory_ratio"] == row["peak_bytes"] / row["floor_peak_bytes"]


def test_prediction_for_absent_processors(tmp_path: Path) -> None:
    # In llvm-mca's place: a cycle for each 512-bit instruction of the loop.
    stub = tmp_path / "llvm-mca"
    stub.write_text('#!/bin/sh\necho "Total Cycles: $(($(grep -c zmm) * 200))"\n')
    stub.chmod(0o755)
    printed = _run("predict_avx512.py", "--llvm-mca", str(stub), "--cpus", "znver4")
    shares = {line.split("(")[0].strip(): int(line.split("%")[0].split()[-1]) for line in printed.splitlines()[1:]}
    assert "the peak takes 3." in printed  # xor, popcount, add; and a round's own addition
    assert len(shares) == 4
    assert all(70 <= share <= 100 for share in shares.values())
    assert shares["q, k, fc1"] >= shares["v, proj"]  # a comparison is less than a conversion, a scale and a bias


def test_newcomer_reads_its_page(tmp_path: Path) -> None:
    """What it measures is in docs/newcomer.md; sizes are those of a package and what it requires."""
    ways = ("bitvit", "ultralytics", "timm")
    code = f"import newcomer, json; print(json.dumps({{way: newcomer.blocks(way) for way in {ways}}}))"
    blocks = json.loads(_run_code(code))
    assert [language for language, _ in blocks["timm"]] == ["python", "python"]
    for way in ("bitvit", "ultralytics"):
        ((language, text),) = blocks[way]
        assert language == "bash" and text.startswith("pip install ")
    version, size = json.loads(_run("newcomer.py", "--installed", "pillow"))
    assert version == PIL.__version__ and size > 1_000_000


@pytest.mark.skipif(shutil.which("aarch64-linux-gnu-g++") is None, reason="needs g++-aarch64-linux-gnu")
def test_prediction_for_arm(tmp_path: Path) -> None:
    # In llvm-mca's place: half a cycle for each instruction on vectors.
    stub = tmp_path / "llvm-mca"
    stub.write_text("#!/bin/sh\necho \"Total Cycles: $(($(grep -Ec '\\bv[0-9]+\\.') * 100))\"\n")
    stub.chmod(0o755)
    printed = _run("predict_arm.py", "--llvm-mca", str(stub), "--cpus", "cortex-a76", "--ghz", "1")
    assert "the bound is 1.50 cycles" in printed  # xor, count, add
    shares = [int(line.split("%")[0].split()[-1]) for line in printed.splitlines() if "% of the bound" in line]
    assert len(shares) == 4
    assert all(50 <= share <= 100 for share in shares)


def test_the_performance_page_shows_the_stored_measurements() -> None:
    assert _run("performance_page.py", "--check") == ""
