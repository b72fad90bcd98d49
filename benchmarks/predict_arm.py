"""Predict the products of DeiT-S on AArch64 processors you do not have, with llvm-mca (LLVM 19 or later).

python benchmarks/predict_arm.py
python benchmarks/predict_arm.py --llvm-mca llvm-mca-19 --cpus neoverse-n1 apple-m1 --ghz 2.4

Compiles bytes128.cc of cpp/kernels/binary_gemm for AArch64, takes from the assembly what four rows pass through (the
loop that counts, widening of the sums to 16 bits, the end: the last widening and the epilogue), and lets llvm-mca count
the cycles of each. The bound
is xor, count and add of bytes on registers: three instructions for 128 binary multiply-adds. It is a model of the
cores, with all data in the first-level cache, and not a measurement. A Cortex-A76 is a Neoverse N1 with other caches:
LLVM has a model of the N1 since version 17, and takes the A76 for a Cortex-A57, which is narrower.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "cpp/kernels/binary_gemm/bytes128.cc"
OPTIONS = [
    *("-std=gnu++17", "-O3", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-fPIC", "-w"),
    *("-fvisibility=hidden", "-DBITVIT_ISA=neon"),
]
ROUNDS = 200
ROWS, OUTPUTS = 4, 64  # what one pass of the loop works on
STEP_BITS = 8
BOUND = [line.format(i) for line in ("eor v{0}.16b, v{0}.16b, v30.16b", "cnt v{0}.16b, v{0}.16b") for i in range(8)]
BOUND += [f"add v{16 + i}.16b, v{16 + i}.16b, v{i}.16b" for i in range(8)]
STEPS_TO_WIDEN = 31  # before a count of a byte overflows
VECTOR_BITS = 128

# The products of a DeiT-S block: inputs, epilogue, how many units of 384 x 384.
SHAPES = {
    "q, k, fc1 (384 inputs, to thresholds)": (384, "threshold", 6),
    "v, proj (384 inputs, to floats)": (384, "linear", 2),
    "fc2 (1536 inputs, to floats)": (1536, "linear", 4),
}
BLOCKS, TOKENS, WIDTH = 12, 197, 384


@dataclass(frozen=True)
class Cycles:
    """Cycles of each part for `ROWS` x `OUTPUTS`; `peak` of one vector of xor, count and add."""

    peak: float
    step: float
    first_widening: float
    widening: float
    threshold: float
    linear: float

    def of_product(self, n_inputs: int, end: str) -> float:
        """Cycles for `ROWS` rows and `OUTPUTS` outputs."""
        steps = n_inputs / STEP_BITS
        segments = -(-steps // STEPS_TO_WIDEN)  # the last is widened in the end
        widening = (segments > 1) * self.first_widening + max(segments - 2, 0) * self.widening
        return steps * self.step + widening + float(getattr(self, end))

    def bound(self, n_inputs: int) -> float:
        """The same if nothing but xor, count and add took time."""
        return ROWS * OUTPUTS * n_inputs / VECTOR_BITS * self.peak


def straight_lines(assembly: str) -> list[list[str]]:
    """The instructions between labels, up to branches back and those always taken; others count as not taken."""
    found: list[list[str]] = [[]]
    labels = set()
    for line in assembly.splitlines():
        if label := re.match(r"(\S+):", line):
            labels.add(label[1])
            found.append([])
        elif line.strip() and not line.strip().startswith("."):
            found[-1].append(line)
            operation, *operands = line.split()
            if operation in {"b", "ret"} or (operation[0] in "bct" and operands[-1] in labels):
                found.append([])
    return found


def parts(assembly: str) -> dict[str, list[str]]:
    """The straight line of each part for four rows, known by the instructions that only it has.

    The shortest, as others add the residual sum; of the widening, which is there for other products as well, the
    longest.
    """
    wanted = {
        "step": {"cnt": 16},
        "first_widening": {"uxtl": 16, "uaddw2": 16},
        "widening": {"uaddw": 16, "uaddw2": 16},
        "threshold": {"addp": 16, "cmhs": 32},
        "linear": {"uaddw": 16, "zip1": 32, "fmul": 64},
    }
    found: dict[str, list[str]] = {}
    for lines in straight_lines(assembly):
        count = Counter(line.split()[0] for line in lines)
        for name, has in wanted.items():
            if not all(count[op] >= n for op, n in has.items()):
                continue
            if "widening" in name and (count["fmul"] or count["cmhs"]):
                continue
            before = found.get(name, lines)
            found[name] = max(before, lines, key=len) if "widening" in name else min(before, lines, key=len)
    if missing := wanted.keys() - found.keys():
        raise SystemExit(
            f"error: the compiler's output has no {', '.join(sorted(missing))}: this script knows GCC 12's"
        )
    return found


def cycles(lines: list[str], llvm_mca: str, cpu: str) -> float:
    """Cycles of one round."""
    command = [llvm_mca, "-mtriple=aarch64-linux-gnu", f"-mcpu={cpu}", f"-iterations={ROUNDS}", "-noalias"]
    result = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    total = re.search(r"Total Cycles:\s+(\d+)", result.stdout)
    if total is None:
        raise SystemExit(f"error: {llvm_mca} gives no cycles for {cpu}: {result.stderr.strip().splitlines()[:1]}")
    return int(total[1]) / ROUNDS


def predict(assembly: str, llvm_mca: str, cpu: str) -> Cycles:
    """Count the parts of one processor."""
    found = {name: cycles(lines, llvm_mca, cpu) for name, lines in parts(assembly).items()}
    return Cycles(
        peak=cycles(BOUND, llvm_mca, cpu) / 8,
        **found,
    )


def main() -> int:
    """Print, for each processor, the predicted share of the bound and the milliseconds of all products of DeiT-S."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = next((name for name in ("llvm-mca-19", "llvm-mca") if shutil.which(name)), "llvm-mca")
    parser.add_argument("--llvm-mca", default=default, metavar="COMMAND", help="default %(default)s")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++", metavar="COMMAND", help="default %(default)s")
    parser.add_argument("--cpus", nargs="+", default=["neoverse-n1", "apple-m1"], metavar="CPU")
    parser.add_argument("--ghz", type=float, default=2.4, help="clock for milliseconds (2.4, a Raspberry Pi 5's)")
    arguments = parser.parse_args()
    command = [arguments.compiler, *OPTIONS, f"-I{ROOT / 'cpp'}", "-S", "-o", "-", str(SOURCE)]
    try:
        assembly = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for cpu in arguments.cpus:
            of = predict(assembly, arguments.llvm_mca, cpu)
            print(f"{cpu}: the bound is {of.peak:.2f} cycles for {VECTOR_BITS} binary multiply-adds")
            spent = least = 0.0
            for shape, (n_inputs, epilogue, units) in SHAPES.items():
                took, bound = of.of_product(n_inputs, epilogue), of.bound(n_inputs)
                print(f"  {shape:40s} {bound / took:4.0%} of the bound")
                spent, least = spent + units * took * 384 / n_inputs, least + units * bound * 384 / n_inputs
            print(f"  {'all products of a DeiT-S block':40s} {least / spent:4.0%} of the bound")
            passes = BLOCKS * -(-TOKENS // ROWS) * (WIDTH / OUTPUTS)
            text = f"all products of DeiT-S at {arguments.ghz} GHz"
            print(f"  {text:40s} {passes * spent / arguments.ghz / 1e6:4.1f} ms, one thread, predicted")
    except FileNotFoundError as error:
        print(f"error: {error.filename} is not installed", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: {arguments.compiler} failed: {error.stderr.strip().splitlines()[:1]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
