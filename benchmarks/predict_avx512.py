"""Predict the AVX-512 product's share of its peak on processors you do not have, with llvm-mca (LLVM 16 or later).

python benchmarks/predict_avx512.py --llvm-mca llvm-mca-16 --cpus znver4 sapphirerapids

Compiles x86_avx512.cc of cpp/kernels/binary_gemm and of cpp/kernels/popcount_peak, takes the innermost loops with
twelve or sixteen popcounts from the assembly, and lets llvm-mca count their cycles: those of the products of DeiT-S,
epilogue included, and that of the peak, xor + popcount + add on registers. It is a model of the cores with all data in
the first-level cache, not a measurement.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = ROOT / "cpp/kernels/binary_gemm/x86_avx512.cc"
PEAK = ROOT / "cpp/kernels/popcount_peak/x86_avx512.cc"
LIST = ROOT / "cpp/base/instruction_sets.inc"
OPTIONS = [
    *("-std=gnu++17", "-O3", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-fPIC", "-w"),
    *("-fvisibility=hidden", "-DBITVIT_ISA=avx512"),
]
UNIT_WORDS = 12  # of 32 bits: 384 inputs
MOST_WORDS = 16  # of weights that are held in registers at a time
ROUNDS = 200

# The products of a DeiT-S block in units of 384 x 384: (loops that a row passes through, words of each, units).
SHAPES = {
    "q, k, fc1 (384 inputs, to thresholds)": (("threshold",), UNIT_WORDS, 6),
    "v, proj (384 inputs, to floats)": (("linear",), UNIT_WORDS, 2),
    "fc2 (1536 inputs, to floats)": (("partial", "partial", "last linear"), MOST_WORDS, 4),
}


def avx512_options() -> list[str]:
    """The compiler options of the instruction set, from the list that the build uses."""
    entry = re.search(r'^BITVIT_INSTRUCTION_SET\(avx512, .*"(.*)"\)', LIST.read_text(), re.MULTILINE)
    assert entry is not None
    return entry[1].split(";")


def popcounts(body: list[str]) -> int:
    """How many population counts a loop has: one for each word."""
    return sum("vpopcntd" in text for text in body)


def loops(assembly: str) -> list[list[str]]:
    """The instructions of each innermost loop over a whole unit or the most words."""
    lines = assembly.splitlines()
    label_at = {m[1]: i for i, line in enumerate(lines) if (m := re.match(r"(\.L\w+):", line))}

    def jumps_back(i: int) -> int | None:
        jump = re.match(r"\s+j\w+\s+(\.L\w+)", lines[i])
        target = label_at.get(jump[1]) if jump else None
        return target if target is not None and target < i else None

    found = []
    for i in range(len(lines)):
        start = jumps_back(i)
        if start is None or any((inner := jumps_back(j)) is not None and inner > start for j in range(start, i)):
            continue
        body = [text for text in lines[start + 1 : i + 1] if not text.strip().startswith(".")]
        if popcounts(body) in (UNIT_WORDS, MOST_WORDS):
            found.append(body)
    return found


def kind(body: list[str]) -> str:
    """Which of the product's loops it is: `linear`, `threshold`, or `partial`, which only adds up.

    Those that go on from sums of an earlier pass are `last linear` and `last threshold`.
    """
    is_linear, is_threshold = (any(op in text for text in body) for op in ("vcvtdq2ps", "vpcmp"))
    if not (is_linear or is_threshold):
        return "partial"
    loads_sums = any(re.match(r"\s+v\w+\s+[-\d]*\([^)]*\), ", text) for text in body)  # else only broadcasts
    return ("last " if loads_sums else "") + ("linear" if is_linear else "threshold")


def cycles(body: list[str], llvm_mca: str, cpu: str) -> float:
    """Cycles of one round of a loop."""
    command = [llvm_mca, f"-mcpu={cpu}", f"-iterations={ROUNDS}", "-noalias"]
    result = subprocess.run(command, input="\n".join(body), capture_output=True, text=True)
    total = re.search(r"Total Cycles:\s+(\d+)", result.stdout)
    if total is None:
        raise SystemExit(f"error: {llvm_mca} gives no cycles for {cpu}: {result.stderr.strip().splitlines()[:1]}")
    return int(total[1]) / ROUNDS


def main() -> int:
    """Print, for each processor, the predicted share of the peak of each product and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llvm-mca", default="llvm-mca", metavar="COMMAND", help="default %(default)s")
    parser.add_argument("--compiler", default="g++", metavar="COMMAND", help="default %(default)s")
    parser.add_argument("--cpus", nargs="+", default=["znver4", "sapphirerapids"], metavar="CPU")
    arguments = parser.parse_args()
    command = [arguments.compiler, *OPTIONS, *avx512_options(), f"-I{ROOT / 'cpp'}", "-S", "-o", "-"]
    try:
        products, peak = (
            loops(subprocess.run([*command, str(source)], capture_output=True, text=True, check=True).stdout)
            for source in (PRODUCTS, PEAK)
        )
        for cpu in arguments.cpus:
            slowest: dict[tuple[str, int], float] = {}  # of the loops of a kind: signs and masks have their own
            for name, body in [("peak", body) for body in peak] + [(kind(body), body) for body in products]:
                key = name, popcounts(body)
                slowest[key] = max(slowest.get(key, 0.0), cycles(body, arguments.llvm_mca, cpu))
            peak_unit = slowest["peak", UNIT_WORDS]
            print(f"{cpu}: the peak takes {peak_unit / UNIT_WORDS:.2f} cycles for 512 binary multiply-adds")
            spent = best = 0.0
            for shape, (passes, words, units) in SHAPES.items():
                of_unit = sum(slowest[name, words] for name in passes) * UNIT_WORDS / (words * len(passes))
                print(f"  {shape:40s} {peak_unit / of_unit:4.0%} of the peak")
                spent, best = spent + units * of_unit, best + units * peak_unit
            print(f"  {'all products of a DeiT-S block':40s} {best / spent:4.0%} of the peak")
    except FileNotFoundError as error:
        print(f"error: {error.filename} is not installed", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: {arguments.compiler} failed: {error.stderr.strip().splitlines()[:1]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
