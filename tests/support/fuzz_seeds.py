"""Files that the fuzzer starts with: ``python -m tests.support.fuzz_seeds FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from bitvit.export import build_program, default_preprocessing, pack
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models
from bitvit.program import BitvitFile, to_bytes
from tests.support.random_models import perturb, random_images
from tests.support.random_programs import random_program
from tests.support.random_pyramids import random_pyramid
from tests.support.tiny_file import tiny_file

RANDOM_SEEDS = 40


def model_file(name: str, task: str) -> BitvitFile:
    """A registered model with random weights."""
    torch.manual_seed(0)
    model = create_model(name)
    perturb(model, 0)
    calibrate(model, random_images(model, count=4, seed=4).normalized)
    packed = pack(model.eval())
    program, tensors = build_program(packed)
    labels = [str(number) for number in range(model.num_classes)]
    return BitvitFile(program, tensors, default_preprocessing(packed), labels, {}, task=task)


def write_seeds(folder: Path) -> None:
    """All registered ``test_*`` models of both tasks, random Programs and pyramids, and the tiny file."""
    folder.mkdir(parents=True)
    (folder / "tiny").write_bytes(to_bytes(tiny_file()))
    for seed in range(RANDOM_SEEDS):
        (folder / f"random_program_{seed}").write_bytes(to_bytes(random_program(seed)))
        (folder / f"random_pyramid_{seed}").write_bytes(to_bytes(random_pyramid(seed)))
    for task in ("classification", "segmentation"):
        for name in list_models("test_*", packable=True, task=task):
            (folder / name).write_bytes(to_bytes(model_file(name, task)))


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
