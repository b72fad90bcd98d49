"""A study whose runs take about a second each; also run in other processes, to be killed."""

from __future__ import annotations

import os
import signal
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bitvit.studies import Study, parse_study, plan_study, prepare_folder, run_study
from tests.support.idx_files import write_idx_folder

_TEXT = """
title: Tiny
recipe: gsb-micro
overrides:
  batch_size: 4
  least_steps: 0
  data.name: idx
  data.folder: {folder}
  model.name: test_gsb_deit
  model.init: scratch
  distillation.kind: none
  stage1.epochs: 1
  stage2.epochs: 2
  calibration.images: 4
  runtime.accelerator: cpu
  runtime.tensorboard: false
teacher: {{model: deit_test_distilled_patch4_16, epochs: 1, warmup_epochs: 0}}
rows:
  - name: fp
    label: full precision
    columns: {{W-A: 32-32}}
    paper: 50.0
    overrides: {{model.name: deit_test_distilled_patch4_16, distillation.kind: hard, stage1.epochs: 0}}
  - name: gsb
    columns: {{W-A: 1-1}}
  - name: gsb-distilled
    columns: {{W-A: 1-1, distilled: true}}
    overrides: {{distillation.kind: hard}}
compare:
  - [gsb-distilled, gsb]
seeds: 1
"""


def tiny_study(images: Path, name: str = "tiny") -> Study:
    """Return a study of three rows on 12 training and 6 test images, which are written to the folder `images`."""
    if not images.exists():
        write_idx_folder(images)
    return parse_study(_TEXT.format(folder=images), name)


def record_of(run: Any, **figures: Any) -> dict[str, Any]:
    """Return an invented result of a planned run."""
    return {
        "run": run.name,
        "row": run.row.name,
        "point": run.point,
        "seed": run.seed,
        "digest": run.digest,
        "top1": 0.5,
        "packed_top1": 0.5,
        "agreement": 1.0,
        "train_top1": 0.75,
        "bytes": 1000,
        "ops": 2e6,
        "train_seconds": 60.0,
        "seconds": 90.0,
        "train_images": 12,
        "test_images": 6,
        "machine": {"cpu": "Abacus", "threads": 1},
        "versions": {"bitvit": "0.1.0"},
        "date": "2026-01-02",
        **figures,
    }


def run_and_die(images: Path, out: Path, fatal_file: str | None) -> None:
    """Run the study; before a file whose path fits the pattern is renamed into place, the process kills itself."""
    replace = os.replace

    def counting(source: Any, target: Any, **kwargs: Any) -> None:
        if fatal_file is not None and fnmatch(str(target), fatal_file):
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target, **kwargs)

    os.replace = counting  # type: ignore[assignment]
    study = tiny_study(images)
    prepare_folder(study, out)
    run_study(plan_study(study), out)


if __name__ == "__main__":
    run_and_die(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
