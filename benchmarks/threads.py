"""Time threads, callers and batches of packed networks, on a quiet and on a busy machine.

python benchmarks/threads.py --json > threads.json
python benchmarks/threads.py --store docs/performance/NAME.json --note "what kind of machine"

For each model, with random weights: one thread and as many as there are processors, in turns of 20 calls, with 0, 1 and
2 processes that keep computing beside it; the speed-up by how near the processors are to each other; images per second
of one and of eight Python threads that share a model of one thread; and one thread with batches of 1 and 8. `--store`
puts the result into the file's `threads`, from which `benchmarks/performance_page.py` makes the tables of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitvit import _core
from bitvit.bench.latency import Contender, Timing, machine, measure
from bitvit.bench.machine_load import LoadWatch, busy_neighbours
from bitvit.bench.subject import Subject, subject_of_model
from bitvit.files import write_atomically
from bitvit.runtime import Engine
from bitvit.runtime.engine import default_threads

MODELS = ("gsb_deit_small_patch16_224", "bhvit_small_patch4_224", "gsb_deit_micro_patch8_32")
NEIGHBOURS = (0, 1, 2)
CALLERS = 8
BATCH = 8
# As a loop over images calls: the threads of a call are awake from the second call of a turn on.
BLOCK = 20
# A cache line goes between the processors of one core complex, which share a cache, and back in 40 to 80 ns; between
# those of two in 200 ns and more.
SHARED_CACHE_NS = 120.0


def _contender(engine: Engine, subject: Subject, batch: int = 1) -> Contender:
    images = subject.images(batch)
    return Contender("", lambda: engine.run(images))


def by_neighbours(subject: Subject, rounds: int, neighbours: Sequence[int] = NEIGHBOURS) -> list[dict[str, Any]]:
    """One thread and all of them, beside busy processes: least, median and mean milliseconds.

    A small network runs for a second at least: what a busy machine costs comes in pieces of some milliseconds.
    """
    counts = (1, default_threads())
    engines = {n: Engine(subject.file.program, subject.file.tensors, threads=n) for n in counts}
    (timing,) = measure([_contender(engines[1], subject)], rounds=5)
    rounds = max(rounds, round(1e3 / (len(engines) * timing.median_ms))) // BLOCK + 1
    rows = []
    for busy in neighbours:
        with busy_neighbours(busy):
            watch = LoadWatch()
            timings = measure([_contender(e, subject) for e in engines.values()], rounds=rounds, block=BLOCK)
            load = watch.read().to_dict()
        for n, timing in zip(engines, timings, strict=True):
            row = {"busy": busy, "threads": n, "fastest_ms": timing.fastest_ms, "median_ms": timing.median_ms}
            rows.append({**row, "mean_ms": timing.mean_ms, "load": load})
    return rows


def by_distance(subject: Subject, rounds: int) -> list[dict[str, Any]]:
    """One thread and all of them, by whether the processors share a cache.

    A hypervisor may move the processors of a virtual machine at any time, so turns count only where the exchange of a
    cache line was equally fast before and after.
    """
    counts = (1, default_threads())
    engines = [Engine(subject.file.program, subject.file.tensors, threads=n) for n in counts]
    found: dict[bool, list[tuple[float, list[Timing]]]] = {}
    for _ in range(max(3, rounds // 5)):
        before = _core.exchange_ns()
        timings = measure([_contender(engine, subject) for engine in engines], rounds=3, block=BLOCK)
        after = _core.exchange_ns()
        if (before < SHARED_CACHE_NS) == (after < SHARED_CACHE_NS):
            found.setdefault(before < SHARED_CACHE_NS, []).append((min(before, after), timings))
    rows = []
    for is_shared in sorted(found, reverse=True):
        turns = found[is_shared]
        one, many = ([timings[i] for _, timings in turns] for i in (0, 1))
        row: dict[str, Any] = {
            "shares_cache": is_shared,
            "exchange_ns": statistics.median(ns for ns, _ in turns),
            "threads": counts[1],
            "turns": len(turns),
        }
        for key, of_turns in (("fastest_ms", min), ("median_ms", statistics.median)):
            row[key] = [of_turns(getattr(timing, key) for timing in timings) for timings in (one, many)]
        rows.append(row)
    return rows


def by_callers(subject: Subject, rounds: int) -> dict[str, Any]:
    """Images per second of one Python thread and of eight that share one model of one thread; the medians of rounds."""
    engine = Engine(subject.file.program, subject.file.tensors, threads=1)
    image = subject.images(1)
    rates: dict[int, list[float]] = {1: [], CALLERS: []}
    for _ in range(max(3, rounds // 5)):
        for callers, found in rates.items():
            found.append(_throughput(engine, image, callers, seconds=0.3))
    medians = {callers: statistics.median(found) for callers, found in rates.items()}
    return {"callers": CALLERS, "images_per_s": medians, "gain": medians[CALLERS] / medians[1]}


def _throughput(engine: Engine, image: Any, callers: int, seconds: float) -> float:
    counts = [0] * callers
    barrier = threading.Barrier(callers + 1)
    end = [0.0]

    def call(index: int) -> None:
        barrier.wait()
        while time.perf_counter() < end[0]:
            engine.run(image)
            counts[index] += 1

    workers = [threading.Thread(target=call, args=(index,)) for index in range(callers)]
    for worker in workers:
        worker.start()
    start = time.perf_counter()
    end[0] = start + seconds
    barrier.wait()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def by_batch(subject: Subject, rounds: int) -> dict[str, Any]:
    """Milliseconds per image of one thread, one image at a time and eight."""
    engine = Engine(subject.file.program, subject.file.tensors, threads=1)
    single, batch = measure([_contender(engine, subject), _contender(engine, subject, BATCH)], rounds=3 * rounds)
    ms = {1: single.fastest_ms, BATCH: batch.fastest_ms / BATCH}
    return {"batch": BATCH, "fastest_ms_per_image": ms, "gain": ms[1] / ms[BATCH]}


def main() -> int:
    """Measure, and print or store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help=f"(default {', '.join(MODELS)})")
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="(default %(default)s)")
    parser.add_argument(
        "--neighbours", nargs="+", type=int, default=NEIGHBOURS, metavar="N", help="busy processes (default 0 1 2)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (the default without --store)")
    parser.add_argument("--store", type=Path, metavar="JSON", help="put the result into this file")
    parser.add_argument("--note", default="", help="about the machine, for --store")
    arguments = parser.parse_args()
    models: dict[str, Any] = {}
    for name in arguments.models:
        subject = subject_of_model(name)
        models[name] = {
            "neighbours": by_neighbours(subject, arguments.rounds, arguments.neighbours),
            "distance": by_distance(subject, arguments.rounds),
            "callers": by_callers(subject, arguments.rounds),
            "batch": by_batch(subject, arguments.rounds),
        }
    found = {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", "benchmarks/threads.py", "--rounds", str(arguments.rounds)]),
        "note": arguments.note,
        "machine": machine(),
        "processors": default_threads(),
        "models": models,
    }
    if arguments.store is None or arguments.json:
        print(json.dumps(found, indent=2))
    if arguments.store is not None:
        stored = json.loads(arguments.store.read_text("utf-8")) if arguments.store.exists() else {}
        stored["threads"] = json.loads(json.dumps(found))
        write_atomically(arguments.store, (json.dumps(stored, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
