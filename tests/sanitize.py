"""Run the engine's tests under AddressSanitizer (with UndefinedBehaviorSanitizer) and under ThreadSanitizer.

python tests/sanitize.py                    # both: `make sanitize`
python tests/sanitize.py thread -k fork     # one, with arguments of pytest

Each sanitizer has a build of its own under build/sanitize-*, which takes the place of bitvit._core in the tests. The
C++ test program of threads, workspaces and forks runs first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Folders and patterns, so that a test that moves or comes anew is not forgotten.
TESTS = {
    "address": ["tests/parity/test_engine_*.py", "tests/operators/test_*.py", "tests/property/test_engine_*.py"],
    "thread": ["tests/parity/test_engine_*.py"],
}
# Tests of "memory" limit a process to less than sanitizers need. Children of a fork while other threads run: see
# tests/cpp/threads_test.cc.
DESELECTED = {"address": ["memory", "fork"], "thread": ["memory", "fork"]}
LIBRARIES = {"address": "libasan.so", "thread": "libtsan.so"}
ENVIRONMENT = {
    # Python keeps memory until it ends, which is not a leak of the engine.
    "address": {"ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1", "UBSAN_OPTIONS": "print_stacktrace=1"},
    "thread": {
        "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:report_signal_unsafe=0:"
        f"suppressions={ROOT / 'tests' / 'thread_sanitizer.supp'}"
    },
}


def main() -> int:
    """Build and test; the first failure ends it."""
    names = [name for name in sys.argv[1:2] if name in TESTS]
    arguments = sys.argv[1 + len(names) :]
    for name in names or TESTS:
        build = _build(name)
        environment = {**os.environ, **ENVIRONMENT[name]}
        _run([*_fixed_addresses(), str(build / "threads_test")], environment)
        extension = next(build.glob("_core*.so"))
        compiler = os.environ.get("CXX", "g++")
        # The C++ library as well: Python is C, and the sanitizer looks for the functions that throw when it is loaded.
        libraries = [
            subprocess.check_output([compiler, f"-print-file-name={library}"], text=True).strip()
            for library in (LIBRARIES[name], "libstdc++.so.6")
        ]
        environment |= {
            "BITVIT_CORE_FOR_TESTS": str(extension),
            "LD_PRELOAD": " ".join(libraries),
            "OMP_NUM_THREADS": "1",
        }
        selection = arguments or ["-k", " and ".join(f"not {word}" for word in DESELECTED[name])]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-s",  # a sanitizer ends the process: its report would be lost with the captured output of the test
            "-p",
            "tests.support.sanitized_core",
            "-p",
            "no:cacheprovider",
        ]
        _run([*_fixed_addresses(), *command, *_tests(name), *selection], environment)
        print(f"{name}: clean", flush=True)
    return 0


def _build(name: str) -> Path:
    build = ROOT / "build" / f"sanitize-{name}"
    options = [f"-DBITVIT_SANITIZE={name}", f"-DPython_EXECUTABLE={sys.executable}"]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    _run(["cmake", "-S", str(ROOT), "-B", str(build), *generator, *options], dict(os.environ))
    jobs = str(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "2"
    _run(["cmake", "--build", str(build), "-j", jobs], dict(os.environ))
    return build


def _tests(name: str) -> list[str]:
    found = [str(path) for pattern in TESTS[name] for path in sorted(ROOT.glob(pattern))]
    assert found, TESTS[name]
    return found


def _fixed_addresses() -> list[str]:
    """Without random addresses: older ThreadSanitizers do not know all of the address space of newer kernels."""
    return ["setarch", "-R"] if shutil.which("setarch") else []


def _run(command: list[str], environment: dict[str, str]) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed: {' '.join(map(str, error.cmd))}")
