"""What a benchmark is about, when the file comes from somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitvit.bench.subject import subject_of_file
from bitvit.checkpoints import CheckpointError, ModelSpec
from tests.support.sealed_file import edited

SOUND = ModelSpec("test_gsb_deit", 3).to_dict()


def _file(folder: Path, architecture: Any) -> Path:
    path = folder / "network.bitvit"
    path.write_bytes(edited(provenance=json.dumps({"architecture": architecture})))
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": "no_such_model"},
        {"name": "hf-hub:somebody/something"},
        {"name": "local-dir:/tmp"},
        {"num_classes": "x"},
        {"kwargs": None},
        {"kwargs": {"checkpoint_path": "weights.pth"}},
        {"kwargs": {"pretrained": True}},
        {"scheme": 1},
        {"nonsense": 1},
        {"\x1b[31m": 1},
    ],
    ids=str,
)
def test_architectures_that_cannot_be_built_are_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    subject = subject_of_file(_file(tmp_path, {**SOUND, **change}))
    assert subject.build is not None
    with pytest.raises(CheckpointError, match="--only-bitvit") as caught:
        subject.build(None)
    assert str(caught.value).isprintable()


def test_an_architecture_that_lacks_entries(tmp_path: Path) -> None:
    subject = subject_of_file(_file(tmp_path, {}))
    assert subject.build is not None
    with pytest.raises(CheckpointError, match=r"has no model\.name"):
        subject.build(None)


@pytest.mark.parametrize("architecture", [None, True, 1, "text", []])
def test_without_an_architecture(tmp_path: Path, architecture: Any) -> None:
    assert subject_of_file(_file(tmp_path, architecture)).build is None


def test_a_sound_architecture(tmp_path: Path) -> None:
    subject = subject_of_file(_file(tmp_path, SOUND))
    assert subject.build is not None
    assert subject.build(None).num_classes == 3
