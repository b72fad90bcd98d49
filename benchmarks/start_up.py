"""Compare how fast two installations give their first answer, in one run, in turns.

python benchmarks/start_up.py ../before/.venv/bin/python .venv/bin/python
python benchmarks/start_up.py OLD NEW --model bhvit_small_patch4_224 --rounds 50

OLD and NEW are Python interpreters that have bitvit. Each writes a file of its own, with random weights from the same
seed, and is then started anew in every round: for `bitvit predict FILE IMAGE`, and for `bitvit.load(FILE)` with the
first prediction. Processor time (user and system, of all threads) says most on a busy machine: waiting for a processor
does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS = {
    "`bitvit predict`": ["-m", "bitvit", "predict"],
    "`bitvit.load(..).predict`": ["-c", "import sys, bitvit; bitvit.load(sys.argv[1]).predict(sys.argv[2])"],
}


def write(model: str, file: str) -> None:
    """In the interpreter that is measured: write a file with random weights."""
    import torch

    from bitvit.export import build_program, default_preprocessing, pack
    from bitvit.models import create_model
    from bitvit.program import BitvitFile, write_file

    torch.manual_seed(0)
    packed = pack(create_model(model).eval())
    program, tensors = build_program(packed)
    labels = [str(number) for number in range(program.values[program.output].shape[-1])]
    write_file(file, BitvitFile(program, tensors, default_preprocessing(packed), labels))


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return its elapsed and its processor time in milliseconds."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} ... failed, see above")
    return elapsed * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def compare(pythons: list[str], model: str, rounds: int) -> None:
    """Measure both and print a table in Markdown."""
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        image = str(Path(folder, "photo.png"))
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)).save(image)
        files = [str(Path(folder, f"{index}.bitvit")) for index in range(2)]
        for python, file in zip(pythons, files, strict=True):
            subprocess.run([python, __file__, "--write", model, file], check=True)
        print("| first answer | | old ms | new ms | ratio | old median | new median |\n|---|---|---|---|---|---|---|")
        for name, start in STARTS.items():
            found: list[list[tuple[float, float]]] = [[], []]
            for _ in range(rounds):
                for python, file, times in zip(pythons, files, found, strict=True):
                    times.append(measure([python, *start, file, image]))
            for column, what in enumerate(("elapsed", "processor")):
                values = [[time[column] for time in times] for times in found]
                old, new = map(min, values)
                medians = [statistics.median(times) for times in values]
                print(
                    f"| {name} | {what} | {old:.0f} | {new:.0f} | {old / new:.2f}x | {medians[0]:.0f} | "
                    f"{medians[1]:.0f} |",
                    flush=True,
                )


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="OLD and NEW")
    parser.add_argument("--model", default="gsb_deit_small_patch16_224", metavar="NAME", help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="default %(default)s")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(*arguments.write)
        return 0
    if len(arguments.pythons) != 2:
        parser.error("give two interpreters: OLD and NEW")
    compare(arguments.pythons, arguments.model, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
