"""Run models a great many times: over threads, batches, reloads and forks. Results stay the same, memory constant.

python benchmarks/soak.py                      # a million calls, some minutes
python benchmarks/soak.py --calls 20000

Several Python threads share two models of one file (one and all threads), with batches of 1 to 4 images; every 500
calls a model is loaded anew in place of the old one, every 2000 calls a child of a fork runs it too. After a tenth of
the calls resident memory must not grow by more than 8 MiB, and the number of open files not at all. Prints one line of
JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bitvit.bench.latency import machine
from bitvit.bench.subject import subject_of_model
from bitvit.runtime import Engine
from bitvit.runtime.engine import default_threads

GROWTH_BYTES = 8 << 20


def resident_bytes() -> int:
    """Return the resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Soak:
    """What the threads share."""

    def __init__(self, model: str, calls: int) -> None:
        self.file = subject_of_model(model).file
        shape = self.file.program.values[self.file.program.input].shape
        self.images = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
        self.models = [self._load(1), self._load(default_threads())]
        self.expected = self.models[0].run(self.images)
        self.left = calls
        self.lock = threading.Lock()
        self.wrong = self.reloads = self.forks = 0
        self.early_bytes = self.early_files = 0
        self.calls = calls

    def _load(self, threads: int) -> Engine:
        return Engine(self.file.program, self.file.tensors, threads=threads)

    def work(self) -> None:
        """Call models until all calls are used up."""
        while True:
            with self.lock:
                number = self.left
                self.left -= 1
            if number <= 0:
                return
            batch = 1 + number % 4
            if not np.array_equal(self.models[number % 2].run(self.images[:batch]), self.expected[:batch]):
                self.wrong += 1
            if number % 500 == 0:
                self.models[number // 500 % 2] = self._load((1, default_threads())[number // 500 % 2])
                self.reloads += 1
            if number % 2000 == 0:
                self._fork()
            if number == self.calls - self.calls // 10:
                gc.collect()
                self.early_bytes, self.early_files = resident_bytes(), _open_files()

    def _fork(self) -> None:
        model = self.models[self.forks % 2]
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(model.run(self.images), self.expected) else 1)
        self.wrong += os.waitpid(child, 0)[1] != 0
        self.forks += 1


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def main() -> int:
    """Soak, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="gsb_deit_micro_patch8_32", metavar="NAME", help="(default %(default)s)")
    parser.add_argument("--calls", type=int, default=1_000_000, metavar="N", help="(default %(default)s)")
    parser.add_argument("--threads", type=int, default=8, metavar="T", help="Python threads (default %(default)s)")
    arguments = parser.parse_args()
    soak = Soak(arguments.model, arguments.calls)
    start = time.perf_counter()
    workers = [threading.Thread(target=soak.work) for _ in range(arguments.threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    gc.collect()
    growth, files = resident_bytes() - soak.early_bytes, _open_files() - soak.early_files
    report: dict[str, Any] = {
        "machine": machine(),
        "model": arguments.model,
        "calls": arguments.calls,
        "seconds": round(time.perf_counter() - start, 1),
        "reloads": soak.reloads,
        "forks": soak.forks,
        "wrong": soak.wrong,
        "resident_mib": round(resident_bytes() / 2**20, 1),
        "growth_mib": round(growth / 2**20, 2),
        "open_files_growth": files,
    }
    print(json.dumps(report))
    return 0 if soak.wrong == 0 and growth <= GROWTH_BYTES and files <= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
