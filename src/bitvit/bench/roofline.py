"""Time of each operator of a packed network, and how much of the machine's bit arithmetic it uses.

The roof is the inner loop of the engine's binary product alone, on registers, measured on the same machine just before
and after the operators: no binary operator can do more multiply-adds per second with these instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bitvit import _core
from bitvit.bench.machine_load import LoadWatch
from bitvit.complexity.file_costs import operator_costs
from bitvit.program import BitvitFile
from bitvit.runtime import Engine


def profile(file: BitvitFile, *, threads: int = 1, runs: int = 20) -> dict[str, Any]:
    """Run a packed network on one random image and time its operators.

    Args:
        file: the packed network.
        threads: of the engine.
        runs: figures are their medians and minima.

    Returns:
        `isa`, `threads`, `runs`, `load` (`MachineLoad` meanwhile), `register_peak` and `popcount_peak` (binary
        multiply-adds per second of all threads, of the engine's own inner loop and of plain xor + popcount + add), and
        `operators`: `op`, `outputs`, `milliseconds` (median), `fastest_milliseconds`, `bops` (binary multiply-adds),
        and `peak_fraction`, their fastest rate over the register peak (None without binary multiply-adds).
    """
    engine = Engine(file.program, file.tensors, threads=threads)
    image = np.random.default_rng(0).integers(0, 256, (1, *file.program.values[file.program.input].shape), np.uint8)
    before = _on_threads(_core.register_peak, engine)
    watch = LoadWatch()
    operators = engine.profile(image, runs=runs)
    load = watch.read()
    peak = max(before, _on_threads(_core.register_peak, engine))
    for operator, cost in zip(operators, operator_costs(file), strict=True):
        operator["bops"] = cost.bops
        operator["peak_fraction"] = peak_fraction(cost.bops, operator["fastest_milliseconds"], peak)
    return {
        "isa": engine.isa,
        "threads": threads,
        "runs": runs,
        "load": load.to_dict(),
        "register_peak": peak,
        "popcount_peak": _on_threads(_core.popcount_peak, engine),
        "operators": operators,
    }


def peak_fraction(bops: float, milliseconds: float, peak: float) -> float | None:
    """Return the rate of binary multiply-adds as a fraction of the peak; None where there are none."""
    return bops / (milliseconds / 1e3) / peak if bops and milliseconds > 0 else None


def _on_threads(measure: Callable[[str], float], engine: Engine) -> float:
    """Sum of a peak on as many threads as the engine uses, at the same time."""
    with ThreadPoolExecutor(engine.threads) as pool:
        return sum(pool.map(measure, [engine.isa] * engine.threads))
