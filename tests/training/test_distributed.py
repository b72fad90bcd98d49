"""Two processes train as one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from bitvit.checkpoints import load_checkpoint
from bitvit.training import train
from tests.support import tiny_training
from tests.support.tiny_training import tiny_recipe

# Double precision: the processes add up gradients in another order than one process does, and in single precision a
# value within rounding of a threshold would fall on the other side of it sooner or later. From scratch and in one
# stage: stage 1 leaves the biases of the keys, which a softmax over real scores ignores, at rounding noise around 0,
# and in stage 2 that noise would decide the sign wherever a product of bits is exactly 0.
SETTINGS = {
    "precision": "64",
    "model__kwargs": {},
    "model__init": "scratch",
    "teacher__epochs": 1,
    "teacher__warmup_epochs": 0,
    "stage1__epochs": 0,
    "stage2__epochs": 2,
}
TOLERANCE = 1e-9


def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    train(tiny_recipe(tmp_path / "data", **SETTINGS), tmp_path / "one")
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in SETTINGS.items()]
    command = [sys.executable, tiny_training.__file__, str(tmp_path / "data"), str(tmp_path / "two")]
    root = Path(tiny_training.__file__).parents[2]
    done = subprocess.run(
        [*command, *overrides, "runtime.devices=2", "runtime.strategy=ddp"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])},
    )
    assert done.returncode == 0, done.stderr
    for name in ("teacher", "model"):
        one, two = (load_checkpoint(tmp_path / run / f"{name}.safetensors")[0] for run in ("one", "two"))
        for key, value in one.state_dict().items():
            torch.testing.assert_close(
                two.state_dict()[key], value, rtol=TOLERANCE, atol=TOLERANCE, msg=f"{name}: {key}"
            )
    one_rows, two_rows = ((tmp_path / run / "metrics.csv").read_text().splitlines() for run in ("one", "two"))
    # All but the last column, the seconds, to the six digits that are written.
    assert [row.rpartition(",")[0] for row in two_rows] == [row.rpartition(",")[0] for row in one_rows]
