"""From a folder of pictures to a prediction in three ways: bitvit, ultralytics, and a loop with timm.

python benchmarks/newcomer.py --ultralytics ../ultralytics/bin/python --markdown
python benchmarks/newcomer.py --ways bitvit timm --json

Commands and programs are those of docs/newcomer.md, read from that page. Processor time (user and system, of all
threads and processes) is what a busy machine does not change much; one thread each. All start from random weights.
Sizes of installations are those of the package and all that it requires, without what PyTorch brings for GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

ROOT = Path(__file__).parents[1]
FOR_GPUS = re.compile(r"^(nvidia-|cuda-|triton)")


@dataclass
class Row:
    """What one way took."""

    way: str
    version: str
    commands: int
    lines: int
    train_s: float
    top1: float
    file_bytes: int
    predict_s: float
    predict_bytes: int
    memory_bytes: int
    train_bytes: int


@dataclass(frozen=True)
class Use:
    """What a command printed, its processor time, and the largest memory of its processes."""

    text: str
    seconds: float
    memory_bytes: int


def write_pictures(folder: Path) -> Path:
    """Write the digits as pictures; returns one of those that are held out."""
    from bitvit.data import build_data  # which an interpreter with ultralytics need not have

    data = build_data("digits")
    for part, images in (("train", data.train), ("val", data.val)):
        for number in range(len(images)):
            path = folder / part / data.labels[images.target(number)] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(np.asarray(images.image(number).convert("RGB")))
            picture.resize((32, 32), Image.Resampling.BICUBIC).save(path)
    return next(iter(sorted((folder / "val" / "7").iterdir())))


def blocks(heading: str) -> list[tuple[str, str]]:
    """Return the blocks of the page below a heading: language and text."""
    page = (ROOT / "docs/newcomer.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def measure(command: list[str], folder: Path) -> Use:
    """Run a command that must succeed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true"}
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode:
        raise SystemExit(f"error: {shlex.join(command)[:200]} failed:\n{text[-3000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Use(text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def first_answer(command: list[str], folder: Path) -> Use:
    """Return the fastest of three processes that predict one picture."""
    return min((measure(command, folder) for _ in range(3)), key=lambda use: use.seconds)


def installed(requirement: str) -> tuple[str, int]:
    """In the interpreter that is measured: the version of a package, and the bytes of it and what it requires."""
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    todo = [Requirement(requirement)]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if (name, extra) in seen or FOR_GPUS.match(name):
                continue
            seen.add((name, extra))
            names.add(name)
            try:
                requires = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                names.discard(name)
                continue
            parsed = map(Requirement, requires)
            todo += [r for r in parsed if r.marker is None or r.marker.evaluate({"extra": extra})]
    files = [Path(str(path.locate())) for name in names for path in metadata.files(name) or []]
    if requirement.startswith("bitvit"):  # of an editable installation the list has next to nothing
        import bitvit._core

        files += [Path(bitvit._core.__file__ or ""), *Path(bitvit.__file__).parent.rglob("*")]
    size = sum(path.stat().st_size for path in {*files} if path.is_file() and path.suffix != ".pyc")
    return metadata.version(Requirement(requirement).name), size


def installed_in(python: str, requirement: str) -> tuple[str, int]:
    """Ask another interpreter."""
    command = [python, __file__, "--installed", requirement]
    version, size = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return version, size


def by_bitvit(folder: Path) -> Row:
    """Train by the recipe that bitvit chooses, pack, predict."""
    ((_, text),) = blocks("bitvit")
    _, *commands = [[sys.executable, "-m", *shlex.split(line)] for line in text.strip().splitlines()]
    train, export, predict = commands
    trained = measure(train, folder)
    packed = measure(export, folder)
    evaluated = json.loads(
        subprocess.run(
            [sys.executable, "-m", "bitvit", "eval", "pictures.bitvit", "--data", "pictures", "--json"],
            cwd=folder, check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    answer = first_answer(predict, folder)
    version, for_training = installed_in(sys.executable, "bitvit[train]")
    return Row(
        way="bitvit", version=version, commands=len(commands), lines=0,
        train_s=trained.seconds + packed.seconds, top1=evaluated["top1"],
        file_bytes=(folder / "pictures.bitvit").stat().st_size,
        predict_s=answer.seconds, predict_bytes=installed_in(sys.executable, "bitvit")[1],
        memory_bytes=answer.memory_bytes, train_bytes=for_training,
    )  # fmt: skip


def by_ultralytics(folder: Path, python: str) -> Row:
    """Train its smallest classifier from scratch, predict."""
    ((_, text),) = blocks("ultralytics")
    yolo = str(Path(python).parent / "yolo")
    _, train, predict = [[yolo, *shlex.split(line)[1:]] for line in text.strip().splitlines()]
    place = [f"project={folder / 'runs/classify'}", "device=cpu", "exist_ok=True"]
    trained = measure([*train[:3], *train[3:], *place, "workers=0", "plots=False"], folder)
    answer = first_answer([*predict, *place], folder)
    top1 = re.findall(r"^\s+all\s+([\d.]+)\s+[\d.]+\s*$", trained.text, re.MULTILINE)[-1]
    version, size = installed_in(python, "ultralytics")
    weights = folder / "runs/classify/train/weights/best.pt"
    return Row(
        way="ultralytics", version=version, commands=2, lines=0, train_s=trained.seconds, top1=float(top1),
        file_bytes=weights.stat().st_size, predict_s=answer.seconds, predict_bytes=size,
        memory_bytes=answer.memory_bytes, train_bytes=size,
    )  # fmt: skip


def by_timm(folder: Path) -> Row:
    """Run the two programs of the page."""
    programs = [text for language, text in blocks("timm") if language == "python"]
    for name, text in zip(("train.py", "predict.py"), programs, strict=True):
        (folder / name).write_text(text)
    trained = measure([sys.executable, "train.py"], folder)
    answer = first_answer([sys.executable, "predict.py"], folder)
    (top1,) = re.findall(r"top-1 ([\d.]+)%", trained.text)
    lines = sum(bool(line) for text in programs for line in text.splitlines())
    version, size = installed_in(sys.executable, "timm")
    return Row(
        way="timm", version=version, commands=2, lines=lines,
        train_s=trained.seconds, top1=float(top1) / 100, file_bytes=(folder / "pictures.pt").stat().st_size,
        predict_s=answer.seconds, predict_bytes=size, memory_bytes=answer.memory_bytes, train_bytes=size,
    )  # fmt: skip


def markdown(rows: list[Row]) -> str:
    """Return the table of the page."""
    facts = (
        ("commands after installing, lines of one's own", lambda r: f"{r.commands}, {r.lines or 'none'}"),
        ("training, processor time", lambda r: f"{r.train_s:.0f} s"),
        ("top-1 of the 359", lambda r: f"{r.top1:.1%}"),
        ("file to predict with", lambda r: f"{r.file_bytes / 1e3:,.0f} kB"),
        ("one picture in a new process, processor time", lambda r: f"{r.predict_s:.2f} s"),
        ("memory of that process", lambda r: f"{r.memory_bytes / 1e6:,.0f} MB"),
        ("installed to predict", lambda r: f"{r.predict_bytes / 1e6:,.0f} MB"),
        ("installed to train", lambda r: f"{r.train_bytes / 1e6:,.0f} MB"),
    )
    head = "| | " + " | ".join(f"{row.way} {row.version}" for row in rows) + " |"
    lines = [head, "|---" * (len(rows) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(map(fact, rows)) + " |" for name, fact in facts)])


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ways", nargs="+", choices=("bitvit", "ultralytics", "timm"), default=["bitvit", "timm"])
    parser.add_argument("--ultralytics", metavar="PYTHON", help="an interpreter that has ultralytics; adds that way")
    parser.add_argument("--folder", type=Path, help="where pictures and runs go (a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--markdown", action="store_true", help="print the table (the default)")
    parser.add_argument("--installed", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.installed:
        print(json.dumps(installed(arguments.installed)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        picture = write_pictures(folder / "pictures")
        (folder / "photo.png").write_bytes(picture.read_bytes())
        rows = []
        start = time.monotonic()
        if arguments.ultralytics:
            rows.append(by_ultralytics(folder, os.path.abspath(arguments.ultralytics)))
        if "timm" in arguments.ways:
            rows.append(by_timm(folder))
        if "bitvit" in arguments.ways:
            rows.insert(0, by_bitvit(folder))
        minutes = (time.monotonic() - start) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{minutes:.1f} minutes, {(used.ru_utime + used.ru_stime) / 60:.1f} of a processor", file=sys.stderr)
    print(json.dumps([asdict(row) for row in rows], indent=1) if arguments.json else markdown(rows))


if __name__ == "__main__":
    main()
