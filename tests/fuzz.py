"""Fuzz the reader and the engine with libFuzzer (needs clang, with its compiler runtime).

python tests/fuzz.py --minutes 10          # `make fuzz MINUTES=10`
python tests/fuzz.py --coverage            # which lines of cpp/ the corpus reaches
python tests/fuzz.py --keep 200            # smallest files of the corpus that reach most -> cpp/fuzz/corpus

Targets (cpp/fuzz/*_fuzz.cc) are built under build/fuzz with AddressSanitizer, UndefinedBehaviorSanitizer, red zones
between values and small limits on work and memory. The working corpus is build/fuzz/corpus, of small files, which
starts with cpp/fuzz/corpus, and build/fuzz/corpus-of-models, which starts with all registered test_* models. After
fuzzing, the interpreter runs what was found as well (tests/property/test_fuzz_corpus.py). A crash, a run beyond 10
seconds or beyond 1 GiB ends it; its input is kept.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "fuzz"
KEPT = ROOT / "cpp" / "fuzz" / "corpus"
TARGETS = ("reader_fuzz", "engine_fuzz")


@dataclass(frozen=True)
class Turn:
    """A target, its share of the time, and the largest files. libFuzzer cuts larger ones, which spoils them."""

    target: str
    share: float
    most_bytes: int
    folders: tuple[Path, ...]


# Small files run many times as often; the registered models are larger.
TURNS = (
    Turn("reader_fuzz", 0.25, 4096, (BUILD / "corpus", KEPT)),
    Turn("engine_fuzz", 0.5, 4096, (BUILD / "corpus", KEPT)),
    Turn("engine_fuzz", 0.25, 1 << 19, (BUILD / "corpus-of-models", BUILD / "seeds")),
)
COMPILERS = ["clang++", *(f"clang++-{version}" for version in range(22, 13, -1))]
# A plain schedule: many times as many executions.
OPTIONS = ["-timeout=10", "-rss_limit_mb=1024", "-entropic=0", "-print_final_stats=1"]
ENVIRONMENT = {
    "BITVIT_PROCESSORS": "2",
    "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1:quarantine_size_mb=8:malloc_context_size=3",
}


def main() -> int:
    """Build, fuzz, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--coverage", action="store_true", help="build for coverage, run the corpus, print a table")
    parser.add_argument("--keep", type=int, metavar="N", help="put at most N files of the working corpus into cpp/fuzz")
    arguments = parser.parse_args()
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        sys.exit(
            "fuzzing needs clang++ (Debian: clang and libclang-rt-dev); the corpus is run without it by `make test`"
        )
    if arguments.coverage:
        return _report_coverage(compiler)
    _build(compiler, BUILD, [])
    _write_seeds()
    if arguments.keep:
        return _keep(arguments.keep)
    return sum(_fuzz(turn, arguments.minutes * 60 * turn.share) for turn in TURNS) != 0


def _build(compiler: str, build: Path, options: list[str]) -> None:
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    cmake = ["cmake", "-S", str(ROOT), "-B", str(build), *generator, *launcher, *options]
    _run([*cmake, "-DBITVIT_FUZZ=ON", f"-DCMAKE_CXX_COMPILER={compiler}", f"-DPython_EXECUTABLE={sys.executable}"])
    _run(["cmake", "--build", str(build), "-j", "2"])


def _write_seeds() -> None:
    for folder in (turn.folders[0] for turn in TURNS):
        folder.mkdir(exist_ok=True)
    if not (BUILD / "seeds").exists():
        _run([sys.executable, "-m", "tests.support.fuzz_seeds", str(BUILD / "seeds")])


def _folders() -> list[str]:
    folders = sorted({folder for turn in TURNS for folder in turn.folders})
    return [str(folder) for folder in folders if folder.exists()]


def _fuzz(turn: Turn, seconds: float) -> int:
    target = turn.target
    limits = [f"-max_len={turn.most_bytes}", f"-max_total_time={max(1, round(seconds))}"]
    artifacts = f"-artifact_prefix={BUILD}/found-{target}-"
    command = [str(BUILD / target), *OPTIONS, *limits, artifacts, *(str(folder) for folder in turn.folders)]
    print("+", " ".join(command), flush=True)
    found = subprocess.run(command, capture_output=True, text=True, errors="replace", env={**os.environ, **ENVIRONMENT})
    numbers = dict(re.findall(r"stat::(\w+):\s+(\d+)", found.stderr))
    reached = re.findall(r"cov: (\d+)", found.stderr)
    figures = {
        "executions": numbers.get("number_of_executed_units", "?"),
        **{name: count for name, count in numbers.items() if name.startswith("files_")},
        "edges": reached[-1] if reached else "?",
        "slowest_s": numbers.get("slowest_unit_time_sec", "?"),
        "peak_mb": numbers.get("peak_rss_mb", "?"),
    }
    print(f"{target}:", ", ".join(f"{name} {figure}" for name, figure in figures.items()), flush=True)
    if found.returncode != 0:
        print(found.stdout[-2000:], found.stderr[-6000:], sep="\n", flush=True)
    return found.returncode


def _keep(count: int) -> int:
    """Choose with libFuzzer's -merge, then the smallest files."""
    merged = BUILD / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    _run([str(BUILD / "engine_fuzz"), "-merge=1", "-timeout=10", str(merged), *_folders()], ENVIRONMENT)
    KEPT.mkdir(exist_ok=True)
    for path in sorted(merged.iterdir(), key=lambda path: path.stat().st_size)[:count]:
        shutil.copy(path, KEPT / f"{path.name[:16]}.bitvit")
    return 0


def _report_coverage(compiler: str) -> int:
    version = re.search(r"-\d+$", compiler)
    suffix = version.group() if version else ""
    build = ROOT / "build" / "coverage"
    flags = "-fprofile-instr-generate -fcoverage-mapping"
    _build(compiler, build, [f"-DCMAKE_CXX_FLAGS={flags}", f"-DCMAKE_EXE_LINKER_FLAGS={flags}"])
    profiles = []
    for target in TARGETS:
        profiles.append(str(build / f"{target}.profraw"))
        environment = {**ENVIRONMENT, "LLVM_PROFILE_FILE": profiles[-1]}
        _run([str(build / target), "-runs=0", "-timeout=60", *_folders()], environment)
    _run([f"llvm-profdata{suffix}", "merge", "-sparse", *profiles, "-o", str(build / "all.profdata")])
    report = [f"llvm-cov{suffix}", "report", str(build / "engine_fuzz"), f"-instr-profile={build / 'all.profdata'}"]
    _run([*report, "-ignore-filename-regex=(fuzz/|nlohmann|sanitizer)", "-show-region-summary=0"])
    return 0


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **(environment or {})})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(map(str, error.cmd))}")
