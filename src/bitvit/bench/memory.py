"""Memory and start-up time of a packed network: fresh processes that only import bitvit, load the file and predict."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bitvit.bench.subject import Subject
from bitvit.errors import BitvitError
from bitvit.runtime import Engine

# Runs in a fresh process. The high-water mark of resident memory counts from its own start (Linux); elsewhere the
# largest resident size has to do.
_PROBE = """
import json, sys, time
start = time.perf_counter()
import numpy
import PIL.Image
import bitvit.runtime.predictor
from bitvit import _core
imported = time.perf_counter()


def peak():
    try:
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except OSError:
        import resource
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else 1024 * size


path, threads, height, width = sys.argv[1], *map(int, sys.argv[2:])
image = numpy.random.default_rng(0).integers(0, 256, (height, width, 3), numpy.uint8)
after_imports = peak()
before = time.perf_counter()
predictor = bitvit.runtime.predictor.load(path, threads=threads)
loaded = time.perf_counter()
predictor.predict(image)
answered = time.perf_counter()
print(json.dumps({
    "import_ms": 1e3 * (imported - start),
    "load_ms": 1e3 * (loaded - before),
    "first_answer_ms": 1e3 * (answered - loaded),
    "load_to_first_answer_ms": 1e3 * (answered - before),
    "imports_peak_bytes": after_imports,
    "process_peak_bytes": peak(),
}))
"""


def measure_memory(subject: Subject, folder: Path, *, threads: int = 1, processes: int = 5) -> dict[str, Any]:
    """Measure a packed network in fresh processes, one after the other.

    Args:
        subject: the packed network.
        folder: where its file may be written.
        threads: of the engine.
        processes: how many; figures are their medians.

    Returns:
        `file_bytes`, `weight_bytes` (tensors), `arena_bytes` (values of one image), `imports_peak_bytes` and
        `process_peak_bytes` (resident memory after the imports, and in all), `import_ms`, `load_ms`, `first_answer_ms`
        and `load_to_first_answer_ms`.

    Raises:
        BitvitError: a fresh process failed.
    """
    path = subject.write(folder)
    height, width = subject.image_size
    command = [sys.executable, "-c", _PROBE, str(path), str(threads), str(height), str(width)]
    samples: list[dict[str, float]] = []
    for _ in range(processes):
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            raise BitvitError(f"{path}: the fresh process failed: {finished.stderr.strip().splitlines()[-1:]}")
        samples.append(json.loads(finished.stdout))
    tensors = subject.file.tensors
    medians = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
    return {
        "file_bytes": path.stat().st_size,
        "weight_bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "arena_bytes": Engine(subject.file.program, tensors, threads=threads).arena_bytes,
        "processes": processes,
        **{key: int(value) if key.endswith("_bytes") else value for key, value in medians.items()},
    }
