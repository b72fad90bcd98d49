"""Time every binary operator of the registered families, one thread, against the limits of this machine.

python benchmarks/kernels.py --json
python benchmarks/kernels.py --model gsb_deit_small_patch16_224 --isa avx2

For each operator and shape, epilogue included: milliseconds, billions of binary multiply-adds per second, their share
of two peaks measured in the same run on registers alone (the inner loop that the engine uses, on AVX2 a table look-up
of four bits; and plain xor + popcount + add), and the time of NumPy's float32 product of the same shape.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from bitvit import _core
from bitvit.bench.kernel_speed import binary_operators, measure_operators
from bitvit.bench.latency import machine
from bitvit.bench.subject import subject_of_model

MODELS = (
    "gsb_deit_small_patch16_224",
    "binary_deit_small_patch16_224",
    "reactdeit_small_patch16_224",
    "binaryvit_small_patch4_224",
    "bhvit_small_patch4_224",
)
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def _rows(document: dict[str, Any]) -> list[list[str]]:
    rows = []
    for model, operators in document["models"].items():
        for item in operators:
            for isa, figures in item["isas"].items():
                rows.append(
                    [
                        model,
                        f"{item['count']} x {item['op']}",
                        item["shape"],
                        isa,
                        f"{figures['ms']:.3f}",
                        f"{figures['rate'] / 1e9:.0f}",
                        f"{figures['of_register_peak']:.0%}",
                        f"{figures['of_popcount_peak']:.0%}",
                        f"{item['numpy_ms']:.3f}",
                        f"{item['numpy_ms'] / figures['ms']:.1f}x",
                    ]
                )
    return rows


COLUMNS = [
    "model", "operator", "shape", "isa", "ms", "G/s", "of its peak", "of plain popcount", "NumPy fp32 ms", "faster"
]  # fmt: skip


def _print_table(document: dict[str, Any]) -> None:
    from bitvit.cli.output import print_table, table

    print_table(table(f"{document['machine']['cpu']}, one thread", COLUMNS, _rows(document), numeric_from=4))


def _print_markdown(document: dict[str, Any]) -> None:
    print(f"{document['machine']['cpu']}, one thread\n")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in _rows(document):
        print("| " + " | ".join(row) + " |")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", action="append", metavar="NAME", help=f"may be repeated (default {', '.join(MODELS)})"
    )
    parser.add_argument("--isa", action="append", choices=_core.available_isas(), help="default: the fastest one")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="runs of each (default 50)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    arguments = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():  # NumPy's BLAS reads them when it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    isas = arguments.isa or _core.available_isas()[-1:]
    models = {
        name: measure_operators(binary_operators(subject_of_model(name).file), isas, arguments.runs)
        for name in arguments.model or MODELS
    }
    document = {"machine": machine(), "models": models}
    if arguments.json:
        print(json.dumps(document, indent=2))
    elif arguments.markdown:
        _print_markdown(document)
    else:
        _print_table(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
