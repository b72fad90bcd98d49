"""What the pages show is run as it stands there: every command, every Python block, page by page, in order.

Each page gets a folder of its own with what its commands expect: photos, finished runs, packed files. Two things are
changed: training gets schedules of one epoch, and what `NOT_RUN` lists is left out, for the reason that it gives. What
takes longer than a few seconds (`HEAVY`) is left to `make test-ecosystem`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from bitvit.cli import main
from bitvit.data.segmentation import write_scenes
from tests.support.golden import load_case
from tests.support.page_blocks import ALL_BLOCKS, ROOT, Block

NOT_RUN = {
    r"(uv )?pip install ": "needs the package index; `make setup` and the release workflow install",
    r"pipx |uvx ": "needs the package index",
    r"bitvit web ": "needs the page that `make web` builds; tests/cli/test_web.py runs the command",
    r"srun ": "needs SLURM",
    r"torchrun ": "needs two machines; tests/training/test_distributed.py plays them",
    r"make ": "a target of the Makefile, minutes long; that it exists is asserted",
    r"cmake |cc ": "tests/c builds, installs and links the library",
    r"zig=|\$zig ": "PyPI's ziglang for Windows: tests/everywhere/test_one_answer.py compiles and runs it",
    r"(scp|rpicam-still|python3 -m venv|\./classify|aarch64-linux-gnu-gcc) ": "on a Pi; tests/everywhere emulates one",
    r"yolo ": "another program, which benchmarks/newcomer.py runs",
    r"(BITVIT_ISA=avx2 )?python benchmarks/": "measures for minutes; tests/cli/test_benchmarks.py runs the scripts",
    r"bitvit bench --model .* --full": "measures a network of full size in every engine for many minutes",
    r"bitvit study (?!--list|.*--budget smoke)": "hours; tests/cli/test_study.py runs small studies",
    r"bitvit inspect runs/studies/": "inspects a run of a study, which takes an hour; other runs are inspected",
    r"bitvit (push|predict hf:)": "needs a hub; tests/cli/test_hub.py runs the page with a stand-in",
}
HEAVY = (
    *(
        r"bitvit bench ",
        r"bitvit study .*--budget smoke",
        r"bitvit inspect runs/gsb runs/",
        r"bitvit report .*--images",
    ),
    *(r"bitvit train .*--data scenes/", r"bitvit train .*--data shards/", r"bitvit train .*model\.scheme"),
    *(r"bitvit train .*fashion-mnist", r"bitvit export runs/(fashion|gsb|bhvit|binaryvit) "),
)
ELSEWHERE = {
    ("docs/scale.md", "python"): "tests/cli/test_scale.py",
    ("docs/hub.md", "python"): "tests/cli/test_hub.py",
    ("docs/own-model.md", "python"): "tests/parity/test_own_model.py",
    ("docs/own-model.md", "bash"): "tests/parity/test_own_model.py",
    ("docs/web.md", "js"): "tests/everywhere/test_one_answer.py",
    ("docs/c.md", "c"): "tests/c/test_c_library.py",
    ("docs/c.md", "cmake"): "tests/c/test_c_library.py",
}
"""Pages whose blocks another test runs: that test names the page."""

ONE_EPOCH = (
    *("teacher.epochs=1", "stage1.epochs=1", "stage2.epochs=1", "teacher.warmup_epochs=0"),
    *("stage1.warmup_epochs=0", "stage2.warmup_epochs=0", "least_steps=0"),
    *("calibration.images=8", "runtime.tensorboard=false", "runtime.accelerator=cpu"),
)
FEW_IMAGES = ("--samples-per-class", "4")

CLASSES = ("cat", "dog", "emu")


def matches(patterns: Iterable[str], command: str) -> bool:
    return any(re.match(pattern, command) for pattern in patterns)


COMMANDS = [(block, command) for block in ALL_BLOCKS if block.language == "bash" for command in block.commands()]
HEAVY_PAGES = sorted(
    {block.page for block, command in COMMANDS if matches(HEAVY, command) and not matches(NOT_RUN, command)}
)


def runnable(block: Block) -> bool:
    return block.language in ("bash", "python") and (block.page, block.language) not in ELSEWHERE


def write_photos(folder: Path, count: int, seed: int = 0, suffix: str = "jpg") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (40, 36, 3), np.uint8)).save(folder / f"{number}.{suffix}")


@pytest.fixture(scope="session")
def prepared(finished_run: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands of the pages name."""
    place = tmp_path_factory.mktemp("prepared")
    for part, count in (("train", 12), ("val", 3), ("test", 2)):
        for seed, name in enumerate(CLASSES):
            write_photos(place / "photos" / part / name, count, seed)
    shutil.copytree(place / "photos", place / "pictures")
    for name in ("archive", "folder"):
        write_photos(place / name, 3)
    write_photos(place / "other_photos" / "0", 2)
    for name in ("new.jpg", "photo.jpg", "photo.png"):
        Image.open(place / "archive" / "0.jpg").save(place / name)
    write_scenes(place / "scenes", "digits", 8, 4, size=40)
    import torch  # the authors' checkpoint of import.md: a golden case of theirs

    torch.save(load_case("gsb_small").state_dict, place / "gsb.pth")
    classes = [*CLASSES, *(f"class {number}" for number in range(7))]
    (place / "labels.txt").write_text("\n".join(classes), encoding="utf-8")
    runs = place / "runs"
    for name in ("digits", "gsb", "baseline", "bhvit"):
        shutil.copytree(finished_run, runs / name)
    photos = ("--recipe", recipe_file, "--data", place / "photos", "--samples-per-class", 6)
    scenes = ("--data", place / "scenes", "batch_size=8", *ONE_EPOCH)
    for name, options in (("photos", photos), ("scenes", scenes)):
        assert main(["train", "--out", str(runs / name), *map(str, options)]) == 0
    for name in ("digits", "photos", "scenes"):
        assert main(["export", str(runs / name), str(place / f"{name}.bitvit")]) == 0
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working folder."""
    folder = tmp_path / "place"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


def run_command(command: str) -> None:
    """Run a command as it stands; training with one epoch, into a folder that is not there yet."""
    words = shlex.split(command)
    if re.search(r"[|<>&;]", command) or words[0] != "bitvit":
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, timeout=120, env=environment)
        return
    if words[1] == "train" and "--resume" not in words:
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        given = {word.partition("=")[0] for word in words if word.endswith("epochs=0")}
        words += [value for value in ONE_EPOCH if value.partition("=")[0] not in given]
        if re.search(r"--data (digits|fashion-mnist)", command):
            words += FEW_IMAGES if "--samples-per-class" not in words else ()
        words += ["batch_size=8"] if "--data scenes/" in command else []  # as many as there are
    assert main(words[1:]) == 0, command


def run_page(page: str, *, heavy: bool) -> int:
    """Run the blocks of a page in order; return how many commands and blocks that were."""
    names: dict[str, Any] = {"__name__": "page"}
    count = 0
    for block in (block for block in ALL_BLOCKS if block.page == page and runnable(block)):
        if block.language == "python":
            shorter = f'"data.samples_per_class=4", *{ONE_EPOCH}'
            code = block.text.replace('"stage2.epochs=20"', shorter)
            for folder in re.findall(r'"(runs/[\w-]+)"[,)]', code):
                shutil.rmtree(folder, ignore_errors=True)  # a new run goes there
            exec(compile("\n" * (block.line - 1) + code, page, "exec"), names)
            count += 1
            continue
        for command in block.commands():
            if not matches(NOT_RUN, command) and (heavy or not matches(HEAVY, command)):
                print(f"$ {command}")
                run_command(command)
                count += 1
    return count


@pytest.mark.parametrize("page", sorted({block.page for block in ALL_BLOCKS if runnable(block)}))
def test_page(page: str, place: Path) -> None:
    run_page(page, heavy=False)


@pytest.mark.ecosystem
@pytest.mark.parametrize("page", HEAVY_PAGES)
def test_page_with_what_takes_longer(page: str, place: Path) -> None:
    assert run_page(page, heavy=True)


def test_every_block_says_what_it_is() -> None:
    """A block without a language is text or what a command printed, never a command."""
    known = {"bash", "python", "json", "yaml", ""}
    strange = [
        block.place
        for block in ALL_BLOCKS
        if block.language not in known and (block.page, block.language) not in ELSEWHERE
    ]
    assert strange == [], "nothing runs these blocks: name the test that does in ELSEWHERE"
    start = re.compile(
        r"(bitvit|pip|pipx|uvx|make|cmake|cc|python3?|find|cat|git|sudo|apt(-get)?|[A-Z_]+=\S+) ", re.MULTILINE
    )
    assert [block.place for block in ALL_BLOCKS if not block.language and start.match(block.text)] == []


def test_what_is_not_run_has_its_reason() -> None:
    commands = [command for _, command in COMMANDS]
    assert [pattern for pattern in (*NOT_RUN, *HEAVY) if not any(re.match(pattern, c) for c in commands)] == []
    for (page, language), test in ELSEWHERE.items():
        assert any((block.page, block.language) == (page, language) for block in ALL_BLOCKS), page
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), f"{test} does not read {page}"
    for command in commands:
        if command.startswith("make "):
            assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), command
        for script in re.findall(r"\bpython (\S+\.py)", command):
            assert (ROOT / script).is_file(), command


def test_documents_in_blocks_are_well_formed() -> None:
    parsers = {"json": json.loads, "yaml": yaml.safe_load}
    parsed = [parsers[block.language](block.text) for block in ALL_BLOCKS if block.language in parsers]
    assert parsed
