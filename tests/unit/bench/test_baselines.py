"""The other engines: each is measured or listed as missing, and all of them compute the same network."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bitvit.bench.baselines import BASELINES, ENGINES, Baselines, build_baselines
from bitvit.bench.float_twin import float_twin
from bitvit.bench.latency import Contender
from bitvit.bench.side_by_side import OWN_NAME, bench
from bitvit.bench.subject import subject_of_file, subject_of_model
from bitvit.models import create_model
from bitvit.program import write_file
from tests.support.tiny_file import tiny_file


def test_an_engine_that_is_not_installed_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    twin = float_twin(create_model("test_gsb_deit"))
    built = build_baselines(twin, np.zeros((1, 3, 16, 16), np.float32), 1, tmp_path)
    assert [contender.name for contender in built.contenders] == ["PyTorch fp32"]
    assert list(built.missing) == list(BASELINES[1:])
    assert all("is not installed (pip install 'bitvit[bench]')" in reason for reason in built.missing.values())


def test_engines_that_nobody_asked_for_are_listed_too(tmp_path: Path) -> None:
    twin = float_twin(create_model("test_gsb_deit"))
    built = build_baselines(twin, np.zeros((1, 3, 16, 16), np.float32), 1, tmp_path, engines=("pytorch",))
    assert built.missing == dict.fromkeys(BASELINES[1:], "not asked for")


def test_a_rival_that_fails_does_not_stop_the_others() -> None:
    def broken() -> Contender:
        raise RuntimeError("no such operator\nand much more")

    built = Baselines()
    built.try_to_add("broken", broken)
    built.try_to_add("sound", lambda: Contender("sound", lambda: None))
    assert built.missing == {"broken": "RuntimeError: no such operator"}
    assert [contender.name for contender in built.contenders] == ["sound"]


def test_onnx_runtime_and_openvino_compute_the_same_network() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    torch.manual_seed(0)
    document = bench(subject_of_model("test_binaryvit"), rounds=3, engines=tuple(ENGINES))
    assert document["missing"] == {}
    results = {result["name"]: result for result in document["results"]}
    assert list(results) == [OWN_NAME, *BASELINES]
    for name in ("ONNX Runtime fp32", "OpenVINO fp32"):
        assert results[name]["agreement"] == pytest.approx(1, abs=1e-6)  # float32 in another order
        assert results[name]["precision"] == "fp32"
    for name in BASELINES:
        if "int8" in name:
            assert "int8" in results[name]["precision"], name
            assert 0.5 < results[name]["agreement"] < 1, name


def test_a_file_of_unknown_architecture_has_no_baselines(tmp_path: Path) -> None:
    write_file(tmp_path / "tiny.bitvit", tiny_file())
    document = bench(subject_of_file(tmp_path / "tiny.bitvit"), rounds=3, engines=("pytorch",))
    assert [result["name"] for result in document["results"]] == [OWN_NAME]
    assert list(document["missing"]) == ["PyTorch fp32"]
    assert "how its model is built" in document["missing"]["PyTorch fp32"]
