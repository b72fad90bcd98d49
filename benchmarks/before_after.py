"""Compare the engine of two installations in one run, in turns: the only way to see a few percent on a busy machine.

python benchmarks/before_after.py ../before/.venv/bin/python .venv/bin/python
python benchmarks/before_after.py OLD NEW --models bhvit_small_patch4_224 --isa avx2 --rounds 100 --operators

OLD and NEW are Python interpreters that have bitvit. Networks have random weights from the same seed. Each round runs
both once for a few images; the table gives the minimum and the median of all rounds, milliseconds per image on one
thread, and the ratio of the minima. `--processor-time` leaves out what the thread waits
for a processor, on a busy machine. `--operators` adds the minima of each kind of operator.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

MODELS = ("gsb_deit_small_patch16_224", "bhvit_small_patch4_224", "binaryvit_small_patch4_224")
IMAGES = 3  # of a turn
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def serve(model: str, isa: str, clock: Callable[[], float]) -> None:
    """In the interpreter that is measured: answer each line of standard input with the times of one turn."""
    import numpy as np
    import torch

    from bitvit.export import build_program, pack
    from bitvit.models import create_model
    from bitvit.runtime import Engine

    torch.manual_seed(0)
    program, tensors = build_program(pack(create_model(model).eval()))
    engine = Engine(program, tensors, threads=1, isa=isa or None)
    shape = program.values[program.input].shape
    images = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    for line in sys.stdin:
        times = []
        operators: dict[str, float] = {}
        for _ in range(IMAGES):
            start = clock()
            engine.run(images)
            times.append(clock() - start)
        if line.strip() == "operators":
            for entry in engine.profile(images, 1):
                operators[entry["op"]] = operators.get(entry["op"], 0.0) + entry["milliseconds"]
        print(json.dumps({"isa": engine.isa, "times": times, "operators": operators}), flush=True)


def start(python: str, model: str, isa: str, options: list[str]) -> subprocess.Popen[str]:
    """Start an interpreter that serves."""
    command = [python, __file__, "--serve", model, "--isa", isa, *options]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD
    )


def ask(process: subprocess.Popen[str], operators: bool) -> dict[str, Any]:
    """One turn."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("operators\n" if operators else "run\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("error: an interpreter stopped, see above")
    result: dict[str, Any] = json.loads(answer)
    return result


def compare(pythons: list[str], model: str, isa: str, rounds: int, operators: bool, options: list[str]) -> None:
    """Measure one model and print it."""
    processes = [start(python, model, isa, options) for python in pythons]
    times: list[list[float]] = [[] for _ in processes]
    minima: list[dict[str, float]] = [{} for _ in processes]
    for _ in range(rounds):
        for process, all_times, least in zip(processes, times, minima, strict=True):
            answer = ask(process, operators)
            all_times += answer["times"]
            for op, spent in answer["operators"].items():
                least[op] = min(least.get(op, spent), spent)
    for process in processes:
        process.communicate()
    old, new = (min(values) * 1e3 for values in times)
    medians = [statistics.median(values) * 1e3 for values in times]
    used = answer["isa"]
    print(f"| {model} | {used} | {old:.2f} | {new:.2f} | {old / new:.2f}x | {medians[0]:.2f} | {medians[1]:.2f} |")
    for op in sorted(minima[0], key=minima[0].__getitem__, reverse=True) if operators else ():
        if op in minima[1]:
            before, after = minima[0][op], minima[1][op]
            print(f"|   {op} | | {before:.3f} | {after:.3f} | {before / max(after, 1e-9):.2f}x | | |")
    sys.stdout.flush()


def main() -> int:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="OLD and NEW")
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help=f"default {' '.join(MODELS)}")
    parser.add_argument("--isa", default="", help="default: the fastest one")
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="default 50")
    parser.add_argument("--processor-time", action="store_true", help="do not count waiting for a processor")
    parser.add_argument("--operators", action="store_true", help="also by kind of operator")
    parser.add_argument("--serve", metavar="MODEL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.isa, time.process_time if arguments.processor_time else time.perf_counter)
        return 0
    if len(arguments.pythons) != 2:
        parser.error("give two interpreters: OLD and NEW")
    print("| network | isa | old ms | new ms | ratio | old median | new median |\n|---|---|---|---|---|---|---|")
    for model in arguments.models:
        options = ["--processor-time"] if arguments.processor_time else []
        compare(arguments.pythons, model, arguments.isa, arguments.rounds, arguments.operators, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
