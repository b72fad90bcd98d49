"""`bitvit bench` as a function: a packed network and its baselines in one interleaved run, as plain data."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from bitvit.bench.latency import Contender, machine, measure
from bitvit.bench.machine_load import LoadWatch, busy_neighbours
from bitvit.bench.subject import Subject
from bitvit.runtime import Engine

OWN_NAME = "bitvit 1-bit"
NO_ARCHITECTURE = "the file does not say how its model is built"

# Rest before each run where engines have several threads: some spin for a while after their work.
_PAUSE_SECONDS = 0.01


def bench(
    subject: Subject,
    *,
    threads: int = 1,
    batch: int = 1,
    rounds: int = 20,
    engines: Collection[str] = (),
    busy: int = 0,
) -> dict[str, Any]:
    """Time a packed network against the full-precision network of the same architecture in other engines.

    Args:
        subject: the packed network.
        threads: of every engine.
        batch: images at a time.
        rounds: runs of each contender.
        engines: the engines to compare with, some of `bitvit.bench.baselines.ENGINES`.
        busy: processes that compute beside it all the while.

    Returns:
        `results` (one `Timing` each, bitvit first; `agreement`: cosine between a baseline's logits and those of the
        first one, PyTorch where it takes part), `missing` (name -> reason), `load` (`MachineLoad` while they were
        timed), and what they depend on.
    """
    engine = Engine(subject.file.program, subject.file.tensors, threads=threads)
    images = subject.images(batch)
    contenders = [Contender(OWN_NAME, lambda: engine.run(images), subject.size_bytes, f"1 bit, {engine.isa}")]
    missing: dict[str, str] = {}
    agreement: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bitvit-bench-") as folder:
        if engines and subject.build is None:
            missing = dict.fromkeys(_names(engines), NO_ARCHITECTURE)
        elif engines:
            from bitvit.bench.baselines import build_baselines
            from bitvit.bench.float_twin import float_twin

            assert subject.build is not None
            floats = np.ascontiguousarray(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1.0)
            baselines = build_baselines(float_twin(subject.build(None)), floats, threads, Path(folder), engines)
            contenders += baselines.contenders
            missing = baselines.missing
            agreement = _agreement(baselines.contenders)
        with busy_neighbours(busy):
            watch = LoadWatch()
            timings = measure(contenders, rounds=rounds, pause=_PAUSE_SECONDS if threads > 1 else 0.0)
            load = watch.read()
    results = [timing.to_dict() for timing in timings]
    for result in results:
        result["agreement"] = agreement.get(str(result["name"]))
    return {
        "name": subject.name,
        "model": subject.model,
        "isa": engine.isa,
        "threads": threads,
        "batch": batch,
        "image_size": list(subject.image_size),
        "busy": busy,
        "machine": machine(),
        "load": load.to_dict(),
        "results": results,
        "missing": missing,
    }


def _names(engines: Collection[str]) -> list[str]:
    from bitvit.bench.baselines import ENGINES

    return [name for engine in ENGINES if engine in engines for name in ENGINES[engine]]


def _agreement(contenders: list[Contender]) -> dict[str, float]:
    """Cosine between the logits of each baseline and those of the first: they have to be the same network."""
    logits = {contender.name: np.asarray(contender.run(), dtype=np.float64).ravel() for contender in contenders}
    first = next(iter(logits.values()), None)
    if first is None:
        return {}
    return {
        name: float(first @ own / (np.linalg.norm(first) * np.linalg.norm(own) or 1.0)) for name, own in logits.items()
    }
