"""Two processes, and two machines, train as one process does: over WebDataset shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bitvit.checkpoints import load_checkpoint
from bitvit.training import Recipe, train
from tests.support import tiny_training
from tests.support.shards import write_shards

# Double precision: the processes add up gradients in another order than one process does, and in single precision a
# value within rounding of a threshold would fall on the other side of it sooner or later. From scratch and in one
# stage: stage 1 leaves the biases of the keys, which a softmax over real scores ignores, at rounding noise around 0,
# and in stage 2 that noise would decide the sign wherever a product of bits is exactly 0.
SETTINGS: dict[str, Any] = {
    "precision": "64",
    "model.kwargs": {},
    "model.init": "scratch",
    "teacher.epochs": 2,
    "teacher.warmup_epochs": 0,
    "stage1.epochs": 0,
    "stage2.epochs": 1,
    "stage2.warmup_epochs": 0,
}
TOLERANCE = 1e-9


def recipe_over_shards(place: Path) -> Recipe:
    """A recipe of a second or two on three shards of four training images, and two of three validation images."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for name in "abc":
            (place / "folder" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(pixels).save(place / "folder" / part / name / f"{number}.png")
    shards = write_shards(place / "folder", place / "shards", per_shard=4)
    return Recipe.load("gsb-demo", {**tiny_training.OVERRIDES, **SETTINGS, "data.name": str(shards)})


def environment() -> dict[str, str]:
    root = Path(tiny_training.__file__).parents[2]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])}


def on_two_machines(recipe: Path, out: Path, *, torchrun: bool = False) -> list[str]:
    """Train as on two machines that share a disk; returns what each wrote to standard output.

    Each is told its number by the environment, or has a torchrun of its own as in docs/cluster.md.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"] if torchrun else []
    launcher += ["--master-addr=127.0.0.1", f"--master-port={port}"] if torchrun else []
    command = ["-m", "bitvit", "train", "--recipe", str(recipe), "--out", str(out)]
    command += ["runtime.nodes=2", "runtime.devices=1", "runtime.strategy=ddp"]
    place = {} if torchrun else {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    machines = [
        subprocess.Popen(
            [sys.executable, *launcher, *([f"--node-rank={rank}"] if torchrun else []), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment(), **place, **({} if torchrun else {"NODE_RANK": str(rank)})},
        )
        for rank in range(2)
    ]
    try:
        written = [machine.communicate(timeout=1800) for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(err for _, err in written)
    return [out for out, _ in written]


def assert_same_run(one: Path, two: Path) -> None:
    for name in ("teacher", "model"):
        first, second = (load_checkpoint(run / f"{name}.safetensors")[0] for run in (one, two))
        for key, value in first.state_dict().items():
            torch.testing.assert_close(
                second.state_dict()[key], value, rtol=TOLERANCE, atol=TOLERANCE, msg=f"{name}: {key}"
            )
    one_rows, two_rows = ((run / "metrics.csv").read_text().splitlines() for run in (one, two))
    # All but the last column, the seconds, to the six digits that are written.
    assert [row.rpartition(",")[0] for row in two_rows] == [row.rpartition(",")[0] for row in one_rows]


def test_two_machines_end_with_the_weights_of_one_process(tmp_path: Path) -> None:
    recipe = recipe_over_shards(tmp_path)
    train(recipe, tmp_path / "one")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    first, second = on_two_machines(tmp_path / "recipe.yaml", tmp_path / "two")
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert "teacher" in first and second == ""  # one of them tells the user


@pytest.mark.ecosystem
def test_two_machines_with_torchrun_end_well(tmp_path: Path) -> None:
    """Both launchers end with exit code 0, with the weights of one process."""
    recipe = recipe_over_shards(tmp_path)
    train(recipe, tmp_path / "one")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    first, second = on_two_machines(tmp_path / "recipe.yaml", tmp_path / "two", torchrun=True)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    assert "teacher" in first and "teacher" not in second


@pytest.mark.ecosystem
@pytest.mark.parametrize("launcher", [(), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")])
def test_two_processes_of_one_machine_end_with_the_weights_of_one(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    """Started by Lightning, or by torchrun."""
    recipe = recipe_over_shards(tmp_path)
    train(recipe, tmp_path / "one")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    command = [sys.executable, *launcher, "-m", "bitvit", "train", "--recipe", str(tmp_path / "recipe.yaml")]
    command += ["--out", str(tmp_path / "two"), "runtime.devices=2", "runtime.strategy=ddp"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800, env=environment())
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "one", tmp_path / "two")
