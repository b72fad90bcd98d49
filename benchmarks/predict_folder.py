"""Images per second and peak memory of predicting a folder, beside a plain loop.

    python benchmarks/predict_folder.py [--images 400] [--size 1600x1200] [--model gsb_deit_small_patch16_224]
    python benchmarks/predict_folder.py --images 100000 --size 64x64 --model gsb_deit_micro_patch8_32 --classes 10 \\
        --kinds loop csv jsonl --rounds 1 --kill

The loop opens one image after the other with Pillow and runs the engine on it: what everybody writes first. `stream` is
`Predictor.stream`; `csv`, `jsonl` and `logits` are `bitvit predict --out` with a CSV file, JSON lines, and JSON lines
with `--logits`. The memory of `jsonl` is measured on a fourth of the images as well. Each runs in a process of its own,
in turns; the best of `--rounds` counts, and times of a command include its end, but not the start of Python.
`--kill` also kills the command after about half of the images, resumes it, and compares the file with that of one go.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

_KINDS = ("loop", "stream", "csv", "jsonl", "logits")

_CHILD = """
import json, sys, time
from pathlib import Path
import bitvit
kind, file, folder, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
paths = sorted(Path(folder).iterdir())[:count]
if kind not in ("loop", "stream"):
    from bitvit.cli import main
    start = time.perf_counter()
    options = {"csv": [".csv"], "jsonl": [".jsonl"], "logits": [".jsonl", "--logits"]}[kind]
    images = [folder] if count == len(list(Path(folder).iterdir())) else map(str, paths)
    assert main(["predict", file, *images, "--out", file + options[0], *options[1:]]) == 0
else:
    model = bitvit.load(file)
    model.predict(paths[0])
    start = time.perf_counter()
    if kind == "loop":
        from bitvit.runtime import load_image
        for path in paths:
            model.logits(load_image(path, model.preprocessing)[None])
    else:
        assert sum(answer.prediction is not None for answer in model.stream(paths)) == count
seconds = time.perf_counter() - start
status = Path("/proc/self/status").read_text()  # the maximum of getrusage would include the parent's, before exec
peak = int(status.partition("VmHWM:")[2].split()[0])
print(json.dumps({"rate": count / seconds, "megabytes": peak / 1024}))
"""


def _make_images(folder: Path, count: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (max(2, size[1] // 16), max(2, size[0] // 16), 3), np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)


def _measure(kind: str, file: Path, folder: Path, count: int) -> dict[str, float]:
    command = [sys.executable, "-c", _CHILD, kind, str(file), str(folder), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return figures


def _kill_and_resume(file: Path, folder: Path, count: int) -> str:
    """Kill `bitvit predict` after about half of the images, resume it, and say what came of it."""
    whole, out = Path(f"{file}.csv"), file.with_name("killed.csv")
    command = [sys.executable, "-m", "bitvit", "predict", str(file), str(folder), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    size = whole.stat().st_size / 2
    while process.poll() is None and sum(path.stat().st_size for path in out.parent.glob("killed.csv.*")) < size:
        time.sleep(0.2)
    process.kill()
    process.wait()
    (partial,) = out.parent.glob("killed.csv.*")
    done = partial.read_bytes().count(b"\n") - 1
    subprocess.run([*command, "--resume"], check=True, stderr=subprocess.DEVNULL)
    same = "the same bytes as" if out.read_bytes() == whole.read_bytes() else "ANOTHER FILE THAN"
    return f"killed after {done} of {count} images, resumed: {same} in one go"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--size", default="1600x1200")
    parser.add_argument("--model", default="gsb_deit_small_patch16_224")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=_KINDS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kill", action="store_true")
    arguments = parser.parse_args()
    from bitvit import create_model
    from bitvit.export import export_model

    width, height = (int(part) for part in arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as place:
        folder, file = Path(place) / "images", Path(place) / "model.bitvit"
        folder.mkdir()
        _make_images(folder, arguments.images, (width, height))
        labels = [f"class {number}" for number in range(arguments.classes)]
        export_model(create_model(arguments.model, num_classes=len(labels)), file, labels=labels)
        cases = [(kind, arguments.images) for kind in arguments.kinds]
        if "jsonl" in arguments.kinds:
            cases.append(("jsonl", max(1, arguments.images // 4)))
        runs = [[_measure(kind, file, folder, count) for kind, count in cases] for _ in range(arguments.rounds)]
        killed = _kill_and_resume(file, folder, arguments.images) if arguments.kill else None
    print(f"{arguments.model}, {arguments.images} images of {width} x {height}, {date.today()}, {platform.processor()}")
    base = max(run[0]["rate"] for run in runs)
    for number, (kind, count) in enumerate(cases):
        rate = max(run[number]["rate"] for run in runs)
        memory = min(run[number]["megabytes"] for run in runs)
        print(f"{kind:8} {count:6} images  {rate:7.1f} images/s  {rate / base:5.2f}x  {memory:7.0f} MB")
    if killed is not None:
        print(killed)


if __name__ == "__main__":
    main()
