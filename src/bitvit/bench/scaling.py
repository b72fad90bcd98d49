"""How a packed network's time grows with threads, batch and image size, against the number of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bitvit.bench.latency import Contender, Timing, measure
from bitvit.bench.subject import Subject
from bitvit.complexity import operator_costs
from bitvit.errors import BitvitError
from bitvit.runtime import Engine

BATCHES = (1, 2, 4, 8, 16)
SIZES = (224, 320, 448)


def operations(subject: Subject) -> float:
    """Return the operations of one image: 64 binary ones, 8 of 8-bit integers or 1 of floats count as one."""
    costs = operator_costs(subject.file)
    return sum(cost.bops / 64 + cost.integer_ops / 8 + cost.flops for cost in costs)


def thread_counts(most: int) -> list[int]:
    """Return 1, 2, 4, ... and `most` itself."""
    counts = [1]
    while 2 * counts[-1] <= most:
        counts.append(2 * counts[-1])
    return counts if counts[-1] == most else [*counts, most]


def measure_scaling(
    subject: Subject,
    *,
    threads: int,
    most_threads: int,
    batches: Sequence[int] = BATCHES,
    sizes: Sequence[int] = SIZES,
    rounds: int = 20,
    note: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Time bitvit alone in several settings, which take turns.

    Args:
        subject: the packed network.
        threads: of the rows by batch and by size.
        most_threads: the last row by threads.
        batches: images at a time.
        sizes: of square images, built anew with random weights; sizes that the architecture
            cannot take are left out, and `note` is told.
        rounds: runs of each setting.
        note: called with a line about each setting that is left out.

    Returns:
        `threads` (with `speedup`), `batch` (with `ms_per_image`), and `size` (with `operations`, and time and
        operations as multiples of the first size's).
    """
    by_threads = _rows(
        [(count, _contender(subject, threads=count, batch=1)) for count in thread_counts(most_threads)], rounds
    )
    by_batch = _rows([(batch, _contender(subject, threads=threads, batch=batch)) for batch in batches], rounds)
    resized = _resized(subject, sizes, note)
    by_size = _rows([(size, _contender(item, threads=threads, batch=1)) for size, item in resized], rounds)
    return {
        "threads": [
            {"threads": count, **_times(timing), "speedup": by_threads[0][1].median_ms / timing.median_ms}
            for count, timing in by_threads
        ],
        "batch": [
            {"batch": batch, **_times(timing), "ms_per_image": timing.median_ms / batch} for batch, timing in by_batch
        ],
        "size": [
            {
                "size": size,
                **_times(timing),
                "operations": operations(item),
                "time_ratio": timing.median_ms / by_size[0][1].median_ms,
                "operations_ratio": operations(item) / operations(resized[0][1]),
            }
            for (size, timing), (_, item) in zip(by_size, resized, strict=True)
        ],
    }


def _resized(subject: Subject, sizes: Sequence[int], note: Callable[[str], None]) -> list[tuple[int, Subject]]:
    if subject.build is None:
        note("the file does not say how its model is built, so it is timed at its own image size only")
        return []
    found = []
    for size in sizes:
        try:
            found.append((size, subject.resized(size)))
        except BitvitError as error:
            note(f"left out: {error}")
    return found


def _contender(subject: Subject, *, threads: int, batch: int) -> Contender:
    engine = Engine(subject.file.program, subject.file.tensors, threads=threads)
    images = subject.images(batch)
    return Contender("", lambda: engine.run(images))


def _rows(settings: list[tuple[int, Contender]], rounds: int) -> list[tuple[int, Timing]]:
    if not settings:
        return []
    timings = measure([contender for _, contender in settings], rounds=rounds)
    return [(value, timing) for (value, _), timing in zip(settings, timings, strict=True)]


def _times(timing: Timing) -> dict[str, float]:
    return {
        "median_ms": timing.median_ms,
        "quartile_ms": timing.quartile_ms,
        "third_quartile_ms": timing.third_quartile_ms,
    }
