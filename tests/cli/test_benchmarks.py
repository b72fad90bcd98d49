"""The scripts in `benchmarks/` run, and print one JSON document or Markdown tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _run(script: str, *options: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(ROOT / "benchmarks" / script), *options]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


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
