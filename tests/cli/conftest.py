"""A tiny packed file, a tiny finished run, and the command as a function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitvit.cli import main
from bitvit.export import export_model
from bitvit.models import create_model
from tests.support.command import TINY_RECIPE, Command, Result


@pytest.fixture
def bitvit(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, run in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def packed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network with random weights for 16 x 16 images and ten classes."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("packed") / "tiny.bitvit"
    export_model(create_model("test_gsb_deit"), path, labels=[f"class {i}" for i in range(10)])
    return path


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that takes seconds."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture(scope="session")
def finished_run(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of that recipe."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["train", "--recipe", str(recipe_file), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An RGB image of 40 x 30 pixels."""
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path
