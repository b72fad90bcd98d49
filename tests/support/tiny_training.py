"""Training runs of a second or two, for tests; also run in other processes, to be killed or distributed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitvit.training import Recipe, train
from tests.support.idx_files import write_idx_folder

OVERRIDES = {
    "name": "tiny",
    "batch_size": 4,
    "data.name": "idx",
    "model.name": "test_gsb_deit",
    "model.kwargs": {"drop_rate": 0.1},
    "model.init": "teacher",
    "teacher.model": "deit_test_distilled_patch4_16",
    "teacher.kwargs": {},
    "teacher.epochs": 2,
    "teacher.warmup_epochs": 1,
    "stage1.epochs": 2,
    "stage2.epochs": 3,
    "augmentation.mixup": 0.4,
    "calibration.images": 4,
    "validation.every_epochs": 2,
    "runtime.accelerator": "cpu",
    "runtime.tensorboard": False,
}


def tiny_recipe(folder: Path, **overrides: Any) -> Recipe:
    """Return a recipe on 12 training and 6 test images of 3 classes, which are written to `folder`.

    Overrides are written `stage1__epochs=1` for `stage1.epochs`.
    """
    if not folder.exists():
        write_idx_folder(folder)
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    return Recipe.load("gsb-demo", {**OVERRIDES, "data.folder": str(folder), **named})


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(folder: Path, out: Path, fatal_step: int, overrides: dict[str, Any]) -> None:
    """Train with resume; before the system call number `fatal_step` that makes files durable, the process kills itself.

    The calls are fsync and rename, of which a saved file needs three: data written but not synced, synced but not
    renamed, and renamed but the folder not synced.
    """
    remaining = fatal_step
    calls: dict[str, Callable[..., Any]] = {"fsync": os.fsync, "replace": os.replace}

    def counting(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal remaining
            if remaining == 0:
                _die()
            remaining -= 1
            return calls[name](*args, **kwargs)

        return call

    for name in calls:
        setattr(os, name, counting(name))
    train(tiny_recipe(folder, **overrides), out, resume=True)


def main() -> None:
    """`python tiny_training.py FOLDER OUT key=value...`: for runs whose processes start this file again."""
    folder, out, *pairs = sys.argv[1:]
    values = dict(pair.split("=", 1) for pair in pairs)
    recipe = tiny_recipe(Path(folder))
    train(Recipe.load(_saved(recipe, Path(out).parent), [f"{key}={value}" for key, value in values.items()]), out)


def _saved(recipe: Recipe, folder: Path) -> Path:
    path = folder / f"recipe-{os.getpid()}.yaml"
    path.write_text(recipe.to_yaml())
    return path


if __name__ == "__main__":
    main()
