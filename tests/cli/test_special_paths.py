"""Named pipes, devices, sockets and folders where a file or a folder is expected: one clear line, and no waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitvit.errors import UsageError
from bitvit.inspection.curves import read_curves
from tests.support.command import Command

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")

# {path}: what is tried.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "predict FILE": ("predict", "{path}", "{photo}"),
    "predict IMAGE": ("predict", "{packed}", "{path}"),
    "predict --out csv": ("predict", "{packed}", "{photo}", "--format", "csv", "--out", "{path}"),
    "predict --out jsonl": ("predict", "{packed}", "{photo}", "--format", "jsonl", "--out", "{path}"),
    "predict --out json": ("predict", "{packed}", "{photo}", "--json", "--out", "{path}"),
    "info FILE": ("info", "{path}"),
    "complexity FILE": ("complexity", "{path}"),
    "bench FILE": ("bench", "{path}"),
    "bench --against": ("bench", "{packed}", "--only-bitvit", "--rounds", "1", "--against", "{path}"),
    "bench --figure": ("bench", "{packed}", "--only-bitvit", "--rounds", "1", "--figure", "{path}"),
    "eval FILE": ("eval", "{path}"),
    "eval --data": ("eval", "{packed}", "--data", "{path}"),
    "eval --data-dir": ("eval", "{packed}", "--data", "fashion-mnist", "--data-dir", "{path}"),
    "export RUN": ("export", "{path}", "{folder}/new.bitvit"),
    "export OUT": ("export", "{run}", "{path}", "--no-compare"),
    "export --data": ("export", "{run}", "{folder}/new.bitvit", "--data", "{path}"),
    "import CHECKPOINT": ("import", "{path}", "--out", "{folder}/new.safetensors"),
    "import CHECKPOINT, family": ("import", "{path}", "--family", "gsb", "--out", "{folder}/new.safetensors"),
    "inspect RUN": ("inspect", "{path}"),
    "inspect --out": ("inspect", "{run}", "--images", "8", "--maps", "1", "--out", "{path}"),
    "train --recipe": ("train", "--recipe", "{path}", "--out", "{folder}/run"),
    "train --data": ("train", "--recipe", "{recipe}", "--data", "{path}", "--out", "{folder}/run"),
    "train --data-dir": ("train", "--data", "cifar100", "--data-dir", "{path}", "--out", "{folder}/run"),
    "train --teacher": ("train", "--recipe", "{recipe}", "--teacher", "{path}", "--out", "{folder}/run"),
    "train --out": ("train", "--recipe", "{recipe}", "--out", "{path}"),
    "train --resume": ("train", "--recipe", "{recipe}", "--resume", "--out", "{path}"),
    "train --import": ("train", "--recipe", "{recipe}", "--import", "{path}", "--out", "{folder}/run"),
    "train teacher.weights=": ("train", "--recipe", "{recipe}", "--out", "{folder}/run", "teacher.weights={path}"),
    "study YAML": ("study", "{path}", "--out", "{folder}/study"),
    "study --reuse": ("study", "stages", "--out", "{folder}/study", "--report-only", "--reuse", "{path}"),
    "study --out": ("study", "stages", "--out", "{path}", "--report-only"),
    "study --import": ("study", "stages", "--out", "{folder}/study", "--report-only", "--import", "{path}"),
    "predict --overlay": ("predict", "{packed}", "{photo}", "--overlay", "{path}"),
    "predict --out txt": ("predict", "{packed}", "{photo}", "--format", "table", "--out", "{path}"),
    "predict --resume": ("predict", "{packed}", "{photo}", "--format", "csv", "--resume", "--out", "{path}"),
    "predict FILE twice": ("predict", "{path}", "{path}"),
    "eval --import": ("eval", "{packed}", "--import", "{path}"),
    "export FILE to ONNX": ("export", "{path}", "{folder}/new.onnx"),
    "export OUT as ONNX": ("export", "{packed}", "{path}", "--no-compare"),
    "export --data-dir": ("export", "{run}", "{folder}/new.bitvit", "--data", "cifar100", "--data-dir", "{path}"),
    "export --import": ("export", "{run}", "{folder}/new.bitvit", "--import", "{path}"),
    "complexity --import": ("complexity", "test_gsb_deit", "--import", "{path}"),
    "import --config": ("import", "{packed}", "--config", "{path}", "--out", "{folder}/new.safetensors"),
    "import --labels": ("import", "{packed}", "--labels", "{path}", "--out", "{folder}/new.safetensors"),
    "import --out": ("import", "{packed}", "--out", "{path}"),
    "inspect second RUN": ("inspect", "{run}", "{path}"),
    "inspect --data": ("inspect", "{run}", "--data", "{path}"),
    "inspect --data-dir": ("inspect", "{run}", "--data", "cifar100", "--data-dir", "{path}"),
    "inspect --import": ("inspect", "{run}", "--import", "{path}"),
    "push FILE": ("push", "{path}", "somebody/something"),
    "push --show-card": ("push", "{path}", "somebody/something", "--show-card"),
    "report RUN": ("report", "{path}"),
    "report --out": ("report", "{run}", "--out", "{path}"),
    "report --data": ("report", "{run}", "--data", "{path}"),
    "report --data-dir": ("report", "{run}", "--data", "cifar100", "--data-dir", "{path}"),
    "report --import": ("report", "{run}", "--import", "{path}"),
    "web FILE": ("web", "{path}", "--out", "{folder}/page.html"),
    "web --out": ("web", "{packed}", "--out", "{path}"),
    "web --pictures": ("web", "{packed}", "--out", "{folder}/page.html", "--pictures", "{photo}", "{path}"),
}


# Where a folder is as wrong as a pipe.
EXPECTS_A_FILE = (
    "predict FILE",
    "predict --out csv",
    "predict --out jsonl",
    "info FILE",
    "bench FILE",
    "bench --against",
    "bench --figure",
    "export OUT",
    "import CHECKPOINT",
    "train --recipe",
    "train --import",
    "study YAML",
    "predict --out txt",
    "export FILE to ONNX",
    "export OUT as ONNX",
    "import --config",
    "import --labels",
    "push FILE",
    "push --show-card",
    "report --out",
    "web FILE",
    "web --out",
    "web --pictures",
)


@contextlib.contextmanager
def not_longer_than(seconds: int) -> Iterator[None]:
    """A call that waits is a failure, not a test that never ends."""

    def fail(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def places(packed_file: Path, recipe_file: Path, photo: Path, tmp_path: Path) -> dict[str, Path]:
    return {"photo": photo, "packed": packed_file, "run": tmp_path, "recipe": recipe_file, "folder": tmp_path}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_no_file_or_folder(
    bitvit: Command, places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    pipe, link, device = tmp_path / "pipe.png", tmp_path / "link.yaml", Path("/dev/zero")
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")  # a short name: the system takes no longer ones
        folders = [tmp_path / "folder.bitvit"] if argument in EXPECTS_A_FILE else []
        for folder in folders:
            folder.mkdir()
        for path in (pipe, link, device, tmp_path / "socket", *folders):
            words = [word.format(path=path, **places) for word in ARGUMENTS[argument]]
            with not_longer_than(60):
                bitvit(*words).assert_one_error_line(path.name)
    assert {entry.name for entry in tmp_path.iterdir()} <= {
        "pipe.png",
        "link.yaml",
        "socket",
        "folder.bitvit",
        "photo.png",
    }


INSIDE: dict[str, tuple[str, tuple[str, ...]]] = {
    "checkpoint": ("model.safetensors", ("eval", "{copy}")),
    "recipe": ("recipe.yaml", ("train", "--recipe", "{recipe}", "--resume", "--out", "{copy}")),
    "list of images": (
        "json/train.json",
        ("train", "--data", "chaoyang", "--data-dir", "{copy}", "--out", "{folder}/x"),
    ),
    "results": ("results.jsonl", ("study", "stages", "--out", "{copy}", "--report-only")),
    "numbers of classes": (
        "classes.csv",
        ("train", "--task", "segmentation", "--data", "{copy}", "--out", "{folder}/x"),
    ),
}


@pytest.mark.parametrize("what", INSIDE)
def test_pipe_inside_a_folder(bitvit: Command, places: dict[str, Path], tmp_path: Path, what: str) -> None:
    """A file that is found by its name: nobody named the pipe."""
    name, words = INSIDE[what]
    copy = tmp_path / "copy"
    (copy / name).parent.mkdir(parents=True)
    os.mkfifo(copy / name)
    with not_longer_than(60):
        result = bitvit(*(word.format(copy=copy, **places) for word in words))
    result.assert_one_error_line("copy")


def test_pipe_for_curves(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.csv")
    with not_longer_than(60), pytest.raises(UsageError, match="regular"):
        read_curves(tmp_path)
