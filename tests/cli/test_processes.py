"""The command as its own process: without PyTorch, interrupted, on a full disk, into a closed pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command import Command

BLOCKED = ("torch", "torchvision", "timm", "lightning", "sklearn")
WITHOUT_TORCH = (
    f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r})); from bitvit.cli import main; sys.exit(main())"
)


def _run(*arguments: object, code: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(("-c", code) if code else ("-m", "bitvit.cli")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("command", ["predict", "info", "complexity"])
def test_without_pytorch(bitvit: Command, packed_file: Path, photo: Path, command: str) -> None:
    arguments = [command, packed_file, *([photo] if command == "predict" else []), "--json"]
    result = _run(*arguments, code=WITHOUT_TORCH)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == bitvit(*arguments).json


def test_eval_of_a_file_without_pytorch(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(10):
        folder = tmp_path / f"class {index}"
        folder.mkdir()
        for name in ("a.png", "b.png"):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name)
    arguments = ["eval", packed_file, "--data", tmp_path, "--json"]
    result = _run(*arguments, code=WITHOUT_TORCH)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == bitvit(*arguments).json


def test_missing_extra_is_named(tmp_path: Path) -> None:
    result = _run("train", "--data", "digits", "--out", tmp_path / "run", code=WITHOUT_TORCH)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "bitvit[train]" in result.stderr


def test_interrupted_training_goes_on(recipe_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["train", "--recipe", recipe_file, "--out", run, "stage2.epochs=200", "validation.every_epochs=1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bitvit.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not (run / "state" / "stage2.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "--resume" in errors[0]
    assert "Traceback" not in err
    assert not (run / "model.safetensors").exists()


def test_full_disk_leaves_nothing_behind(finished_run: Path, tmp_path: Path) -> None:
    # No file may grow beyond 4096 bytes: what a full disk does, without a disk.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from bitvit.cli import main; "
        "import bitvit.export, bitvit.training; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "sys.exit(main())"
    )
    result = _run("export", finished_run, tmp_path / "x.bitvit", "--images", 4, code=code)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_closed_pipe_is_no_error(packed_file: Path) -> None:
    command = f"{sys.executable} -m bitvit.cli info {packed_file} --json | head -c 10"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert len(result.stdout) == 10
    assert result.stderr == ""


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "BITVIT_DEBUG": "1"}
    result = _run("info", tmp_path / "nowhere.bitvit", env=environment)
    assert "Traceback" in result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize("moment", ["os.fsync", "os.replace"])
def test_interrupted_export_leaves_nothing_half_written(finished_run: Path, tmp_path: Path, moment: str) -> None:
    target = tmp_path / "x.bitvit"
    target.write_bytes(b"the older file")
    # Ctrl-C arrives while the file is written: when its data are to be synced, or just before it is renamed.
    code = (
        "import os, signal, sys, time; import bitvit.export, bitvit.training; from bitvit.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupt(*arguments):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(30)\n"
        f"{moment} = interrupt\n"
        "sys.exit(main())"
    )
    result = _run("export", finished_run, target, "--images", 4, code=code)
    assert (result.returncode, result.stdout) == (130, ""), result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.bitvit"]
    assert target.read_bytes() == b"the older file"


@pytest.mark.parametrize("stream", ["1", "2"])
def test_closed_standard_streams(packed_file: Path, photo: Path, tmp_path: Path, stream: str) -> None:
    out = tmp_path / "out.csv"
    words = [sys.executable, "-m", "bitvit", "predict", str(packed_file), str(photo), "--out", str(out)]
    result = subprocess.run(["sh", "-c", f'exec "$@" {stream}>&-', "sh", *words], capture_output=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, b"")
    assert out.read_text().count("\n") == 2


def test_standard_input_that_is_closed(packed_file: Path) -> None:
    words = [sys.executable, "-m", "bitvit", "predict", str(packed_file), "-"]
    result = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *words], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: standard input is empty: expected an image, or a list of paths\n"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("out", ["answers.json", "answers.csv"])
def test_a_signal_ends_predict_in_order(packed_file: Path, tmp_path: Path, name: str, code: int, out: str) -> None:
    """While the second of many images is read: of JSON nothing stays, of CSV what --resume goes on with."""
    for number in range(20):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    program = (
        "import os, signal, sys, time; from bitvit.runtime import preprocessing; from bitvit.cli import main\n"
        "from bitvit.cli.prediction_progress import PredictionProgress as progress\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupt(self, written):\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    time.sleep(30)\n"
        "progress.update = interrupt\n"
        "sys.exit(main())"
    )
    (tmp_path / "out").mkdir()
    result = _run("predict", packed_file, tmp_path, "--out", tmp_path / "out" / out, "--workers", 1, code=program)
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert result.stderr.startswith("error: interrupted after 1 images")
    assert result.stderr.count("\n") == 1
    left = [path.suffix for path in (tmp_path / "out").iterdir()]
    assert left == ([".partial"] if out.endswith("csv") else [])


@pytest.mark.parametrize("moment", ["os.fsync", "os.replace"])
def test_sigterm_leaves_no_half_written_page(packed_file: Path, tmp_path: Path, moment: str) -> None:
    code = (
        "import os, signal, sys, time; from pathlib import Path\n"
        "from bitvit.cli import main; from bitvit.web import page\n"
        f"page.TEMPLATE = Path({str(tmp_path / 'template')!r})\n"
        "def interrupt(*arguments):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(30)\n"
        f"{moment} = interrupt\n"
        "sys.exit(main())"
    )
    (tmp_path / "template").write_text("/*MODELS*/")
    (tmp_path / "out").mkdir()
    result = _run("web", packed_file, "--out", tmp_path / "out" / "page.html", code=code)
    assert (result.returncode, result.stdout, result.stderr) == (143, "", "error: interrupted\n")
    assert list((tmp_path / "out").iterdir()) == []
