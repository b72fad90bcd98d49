"""Time the binary products of DeiT-Small (198 tokens), one thread, against the limits of this machine.

python benchmarks/kernels.py --json

For each shape and instruction set: billions of multiply-adds a second of `binary_linear` and of
`binary_linear_threshold`, epilogues included, the share of the register peak (the popcount instructions alone,
measured in the same run), and NumPy's float32 matrix product. Runs take turns; the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bitvit import _core
from bitvit.analysis.latency import machine
from bitvit.program import sign_bits

N_TOKENS = 198
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SHAPES = ((384, 1152), (384, 384), (384, 1536), (1536, 384))


def _engine(kind: str, n_inputs: int, n_outputs: int, isa: str, rng: np.random.Generator) -> _core.Engine:
    weight = sign_bits(rng.standard_normal((n_outputs, n_inputs)))
    tensors: dict[str, Any] = {"weight": weight}
    if kind == "binary_linear":
        tensors |= {name: rng.standard_normal(n_outputs).astype(np.float32) for name in ("scale", "bias")}
    else:
        low = rng.integers(0, n_inputs, n_outputs).astype(np.int16)
        tensors |= {"low": low, "high": np.full_like(low, n_inputs), "flip": np.zeros(n_outputs, np.uint8)}
    builder = _core.ProgramBuilder()
    x = builder.value("sign", (N_TOKENS, n_inputs))
    y = builder.value("f32" if kind == "binary_linear" else "sign", (N_TOKENS, n_outputs))
    builder.op(kind, [x], [y], {}, tensors)
    return builder.build([x], [y], 1, isa)


def _contenders(n_inputs: int, n_outputs: int, isas: list[str]) -> dict[str, Callable[[], float]]:
    """Name -> one run, in seconds."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_TOKENS, n_inputs)).astype(np.float32)
    weight = rng.standard_normal((n_outputs, n_inputs)).astype(np.float32)
    packed = sign_bits(x)[None]

    def blas() -> float:
        start = time.perf_counter()
        x @ weight.T
        return time.perf_counter() - start

    contenders: dict[str, Callable[[], float]] = {"numpy float32": blas}
    for isa in isas:
        for kind, label in (("binary_linear", "linear"), ("binary_linear_threshold", "threshold")):
            engine = _engine(kind, n_inputs, n_outputs, isa, rng)
            contenders[f"{isa} {label}"] = lambda engine=engine: engine.profile([packed], 1)[0]  # type: ignore[misc]
    return contenders


def measure(isas: list[str], runs: int) -> dict[str, Any]:
    """All figures as plain data, in multiply-adds per second."""
    shapes = []
    for n_inputs, n_outputs in SHAPES:
        contenders = _contenders(n_inputs, n_outputs, isas)
        best = dict.fromkeys(contenders, float("inf"))
        for _ in range(runs):
            for name, run in contenders.items():
                best[name] = min(best[name], run())
        products = N_TOKENS * n_inputs * n_outputs
        speeds = {name: products / seconds for name, seconds in best.items()}
        shapes.append({"inputs": n_inputs, "outputs": n_outputs, "speed": speeds})
    peaks = {isa: _core.register_peak(isa) for isa in isas}
    return {"machine": machine(), "tokens": N_TOKENS, "register_peak": peaks, "shapes": shapes}


def _print(document: dict[str, Any]) -> None:
    peaks = document["register_peak"]
    print(f"{document['machine']['cpu']}, one thread, {document['tokens']} tokens; billions of multiply-adds a second")
    for isa, peak in peaks.items():
        print(f"  register peak {isa:8} {peak / 1e9:8.0f}")
    for shape in document["shapes"]:
        print(f"{shape['inputs']} -> {shape['outputs']}")
        for name, speed in shape["speed"].items():
            peak = peaks.get(name.split()[0])
            share = "" if peak is None else f"{100 * speed / peak:5.0f} % of the peak"
            print(f"  {name:20} {speed / 1e9:8.1f} {share}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", action="append", choices=_core.available_isas(), help="default: all of this machine")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="runs of each (default 50)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():  # NumPy's BLAS reads them when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    document = measure(arguments.isa or _core.available_isas(), arguments.runs)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _print(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
