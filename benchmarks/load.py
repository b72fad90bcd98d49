"""Compare how long two installations take from a file to the first answer, in turns, without starting Python anew.

python benchmarks/load.py ../before/.venv/bin/python .venv/bin/python
python benchmarks/load.py OLD NEW --models bhvit_small_patch4_224 --rounds 100

OLD and NEW are Python interpreters that have bitvit. In every turn each of them loads the file with `bitvit.load`, runs
one prepared image and forgets the network; memory is that of the turn before or the system's, as it happens. The table
gives milliseconds of processor time on one thread, which leaves out waiting for a processor: the minimum and the median
of all turns, in parts and from the file to the answer. `start_up.py` is about new processes and their imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from before_after import ONE_THREAD

PARTS = ("read and check", "build", "first run", "file to answer")


def serve(path: str) -> None:
    """In the interpreter that is measured: answer each line of standard input with the times of one turn."""
    import numpy as np

    import bitvit
    from bitvit.program import open_model
    from bitvit.runtime import Engine

    size = bitvit.load(path, threads=1).preprocessing.image_size
    images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    clock = time.thread_time
    for _ in sys.stdin:
        start = clock()
        model = open_model(path)
        checked = clock()
        engine = Engine.of_model(model, threads=1)
        built = clock()
        engine.run(images)
        ran = clock()
        del engine, model
        whole = clock()
        predictor = bitvit.load(path, threads=1)
        predictor.logits(images)
        times = (checked - start, built - checked, ran - built, clock() - whole)
        del predictor
        print(json.dumps(dict(zip(PARTS, times, strict=True))), flush=True)


def start(python: str, file: str) -> subprocess.Popen[str]:
    """Start an interpreter that serves."""
    command = [python, __file__, "--serve", file]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
    )


def compare(pythons: list[str], model: str, rounds: int) -> None:
    """Measure one model and print it."""
    with tempfile.TemporaryDirectory() as folder:
        writer = str(Path(__file__).with_name("start_up.py"))
        files = [str(Path(folder, f"{index}.bitvit")) for index in range(2)]
        for python, file in zip(pythons, files, strict=True):
            subprocess.run([python, writer, "--write", model, file], check=True)
        processes = [start(python, file) for python, file in zip(pythons, files, strict=True)]
        turns: list[list[dict[str, Any]]] = [[], []]
        for _ in range(rounds):
            for process, times in zip(processes, turns, strict=True):
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write("turn\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if not answer:
                    raise SystemExit("error: an interpreter stopped, see above")
                times.append(json.loads(answer))
        for process in processes:
            process.communicate()
    for part in PARTS:
        values = [[turn[part] * 1e3 for turn in times] for times in turns]
        old, new = map(min, values)
        medians = [statistics.median(times) for times in values]
        print(
            f"| {model} | {part} | {old:.2f} | {new:.2f} | {old / new:.2f}x | {medians[0]:.2f} | {medians[1]:.2f} |",
            flush=True,
        )


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="OLD and NEW")
    parser.add_argument("--models", nargs="+", default=["gsb_deit_small_patch16_224"], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="default %(default)s")
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return 0
    if len(arguments.pythons) != 2:
        parser.error("give two interpreters: OLD and NEW")
    print("| network | part | old ms | new ms | ratio | old median | new median |\n|---|---|---|---|---|---|---|")
    for model in arguments.models:
        compare(arguments.pythons, model, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
