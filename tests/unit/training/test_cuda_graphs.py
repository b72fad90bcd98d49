"""Passes as CUDA graphs: what is checked before they are used, as far as it shows without a GPU (see tests/gpu)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitvit.training import Recipe, RecipeError, TrainingError, train
from bitvit.training.cuda_graphs import capture_passes, release_passes
from tests.support.tiny_training import tiny_recipe


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).train()


def capturing(monkeypatch: pytest.MonkeyPatch, change: float) -> None:
    """Let capturing stand for a forward pass whose results are multiplied."""

    def capture(model: Any, images: tuple[Tensor], allow_unused_input: bool) -> None:
        plain = model.forward
        model(*images)  # as the real one warms up: running averages move
        vars(model)["forward"] = lambda x: plain(x) * change

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)


def test_the_state_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    capturing(monkeypatch, 1.0)
    model, images = network(), torch.randn(4, 1, 4, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    capture_passes(model, images)
    assert "forward" in vars(model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(value.grad is None for value in model.parameters())
    release_passes(model)
    assert "forward" not in vars(model)


def test_graphs_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    capturing(monkeypatch, 1.1)
    model = network()
    with pytest.raises(TrainingError, match=r"other gradients .*set runtime.cuda_graphs=false"):
        capture_passes(model, torch.randn(4, 1, 4, 4))
    assert "forward" not in vars(model)


def test_what_cannot_be_captured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(*_: Any, **__: Any) -> None:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    with pytest.raises(TrainingError, match=r"not permitted when stream.*set runtime.cuda_graphs=false"):
        capture_passes(network(), torch.randn(4, 1, 4, 4))


def test_a_cpu_is_refused(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", runtime__cuda_graphs=True)
    with pytest.raises(RecipeError, match=r"runtime\.cuda_graphs: training is not on a CUDA device"):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize("other", ["precision=bf16-mixed", "runtime.compile=true", "runtime.devices=2"])
def test_what_excludes_graphs_is_refused(other: str) -> None:
    with pytest.raises(RecipeError, match=r"runtime\.cuda_graphs"):
        Recipe.load("gsb-micro", ["runtime.cuda_graphs=true", other])
