"""Killed at any moment and resumed, a run ends with the weights of an uninterrupted one, bit for bit."""

from __future__ import annotations

import multiprocessing
import random
import signal
from pathlib import Path

import pytest
import torch

from bitvit.checkpoints import load_checkpoint
from bitvit.training import Recipe, train
from tests.support.tiny_training import tiny_recipe, train_and_die

SEED = random.SystemRandom().randrange(1 << 30)
SETTINGS = {
    "ema__decay": 0.9,
    "stage1__epochs": 1,
    "stage2__epochs": 2,
    "teacher__epochs": 1,
    "teacher__warmup_epochs": 0,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the data's folder and that of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(tiny_recipe(folder / "data", **SETTINGS), folder / "run")
    return folder / "data", folder / "run"


def files_of(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}


def assert_same_result(found: Path, expected: Path) -> None:
    assert files_of(found) == files_of(expected), "left-over or missing files"
    for name in ("teacher", "stage1", "model", "model_ema"):
        weights, wanted = (load_checkpoint(run / f"{name}.safetensors")[0].state_dict() for run in (found, expected))
        for key, value in wanted.items():
            assert torch.equal(weights[key], value), f"{name}: {key}"


def run_until_done(folder: Path, out: Path, fatal_steps: random.Random, timeouts: random.Random | None) -> int:
    """Start and kill until a process survives; return how often one was killed.

    With `timeouts` the parent kills after a random time, else the child kills itself at a random step of saving.
    """
    # The server imports PyTorch once; its children start in milliseconds, so that most kills hit training.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.tiny_training"])
    for kills in range(60):
        fatal_step = fatal_steps.randrange(1, 25) if timeouts is None else 10**9
        process = context.Process(target=train_and_die, args=(folder, out, fatal_step, SETTINGS))
        process.start()
        process.join(timeouts.uniform(0.05, 2.5) if timeouts is not None and kills < 8 else 120)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode in (0, -signal.SIGKILL), f"died of {process.exitcode}"
        if process.exitcode == 0:
            return kills
    raise AssertionError("the run makes no progress")


def test_killed_while_saving(whole: tuple[Path, Path], tmp_path: Path) -> None:
    print(f"seed {SEED}")
    kills = run_until_done(whole[0], tmp_path / "run", random.Random(SEED), None)
    print(f"killed {kills} times")
    assert kills >= 1
    assert_same_result(tmp_path / "run", whole[1])


def test_killed_at_any_time(whole: tuple[Path, Path], tmp_path: Path) -> None:
    print(f"seed {SEED}")
    timeouts = random.Random(SEED)
    print(f"killed {run_until_done(whole[0], tmp_path / 'run', timeouts, timeouts)} times")
    assert_same_result(tmp_path / "run", whole[1])


def test_result_does_not_depend_on_workers(whole: tuple[Path, Path], tmp_path: Path) -> None:
    recipe: Recipe = tiny_recipe(whole[0], **SETTINGS, runtime__workers=2)
    train(recipe, tmp_path / "run")
    assert_same_result(tmp_path / "run", whole[1])
