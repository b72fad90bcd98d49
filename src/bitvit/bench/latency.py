"""Side-by-side timing of networks: all contenders in one run, interleaved, so that they meet the same machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contender:
    """A network in an engine, ready to run.

    Attributes:
        name: engine and number format, such as `ONNX Runtime fp32`.
        run: computes the logits of the same batch each time.
        size_bytes: size of what has to be shipped, None where unknown.
        precision: the arithmetic that really runs, where that is known; engines may not do what they are asked for.
    """

    name: str
    run: Callable[[], object]
    size_bytes: int | None = None
    precision: str = ""


@dataclass(frozen=True)
class Timing:
    """Times of one contender, for one batch.

    Attributes:
        name: the contender's.
        median_ms: median of all rounds, milliseconds per image.
        fastest_ms: minimum.
        quartile_ms: first quartile.
        third_quartile_ms: third quartile.
        mean_ms: mean.
        rounds: number of them.
        size_bytes: as the contender's.
        precision: as the contender's.
    """

    name: str
    median_ms: float
    fastest_ms: float
    quartile_ms: float
    third_quartile_ms: float
    mean_ms: float
    rounds: int
    size_bytes: int | None = None
    precision: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain data for JSON."""
        return asdict(self)


def measure(
    contenders: Sequence[Contender], rounds: int = 20, seconds: float = 60.0, pause: float = 0.0, block: int = 1
) -> list[Timing]:
    """Time contenders in turns: in each round, every one runs once, or a block of several times.

    Args:
        contenders: what to time; each runs twice beforehand, to warm up.
        rounds: rounds wanted, at least 3.
        seconds: no further round starts after this time (3 rounds are always made).
        pause: seconds of rest before each turn, so that threads of the one before that still spin do not slow it down.
        block: runs in a turn; all are timed. A loop over images runs one network again and again, and its threads are
            awake from the second run on.

    Returns:
        Times in the order of the contenders.
    """
    for contender in contenders:
        contender.run()
        contender.run()
    times: list[list[float]] = [[] for _ in contenders]
    start = time.perf_counter()
    for done in range(max(rounds, 3)):
        if done >= 3 and time.perf_counter() - start > seconds:
            break
        for contender, own in zip(contenders, times, strict=True):
            if pause:
                time.sleep(pause)
            for _ in range(block):
                before = time.perf_counter_ns()
                contender.run()
                own.append((time.perf_counter_ns() - before) / 1e6)
    return [_summary(contender, own) for contender, own in zip(contenders, times, strict=True)]


def _summary(contender: Contender, times: list[float]) -> Timing:
    quartile, median, third_quartile = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(
        contender.name,
        median,
        min(times),
        quartile,
        third_quartile,
        statistics.fmean(times),
        len(times),
        contender.size_bytes,
        contender.precision,
    )


def machine() -> dict[str, str]:
    """Return what a timing depends on: the CPU's name, the operating system and Python's version."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass  # not Linux: the platform's own name has to do
    return {"cpu": cpu, "system": f"{platform.system()} {platform.release()}", "python": platform.python_version()}
