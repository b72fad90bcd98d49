"""Builds of the C library and of test programs with CMake, for this machine or for others.

A build folder below ``build/tests`` is kept, so that only what changed is compiled again.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def require(*programs: str) -> None:
    """Skip the test, in one line, where a program is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which this machine does not have")


def zig() -> Path:
    """The program of PyPI's ziglang, which compiles for other systems; skips the test without it."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        pytest.skip("needs ziglang: pip install --group wheels")
    return Path(found.origin).with_name("zig")


def wine() -> list[str]:
    """The beginning of a command that runs a program for Windows; skips the test without Wine."""
    found = shutil.which("wine64") or shutil.which("/usr/lib/wine/wine64")
    if found is None:
        pytest.skip("needs wine64, which this machine does not have")
    return ["env", f"WINEPREFIX={ROOT / 'build/tests/wine'}", "WINEDEBUG=-all", found]


def run(command: Sequence[object], timeout_s: float = 1200, **options: object) -> str:
    """Run a command that must succeed; returns what it wrote to standard output."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=timeout_s, check=False, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return str(done.stdout)


def built(name: str, *options: str, target: str = "all") -> Path:
    """Configure and build the sources of this repository; returns the build folder.

    Args:
        name: of the build: equal names share a folder, so they must have equal options.
        options: for CMake, such as ``-DBITVIT_C=ON``.
        target: what is built.
    """
    require("cmake")
    folder = ROOT / "build/tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of several processes use one build
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        python = f"-DPython_EXECUTABLE={sys.executable}"  # knows where the headers for JSON are
        run(["cmake", "-S", ROOT, "-B", folder, *generator, python, "-DBITVIT_PYTHON=OFF", *options])
        run(["cmake", "--build", folder, "--target", target, "--parallel", str(len(os.sched_getaffinity(0)))])
    return folder


def c_library() -> Path:
    """A build folder with the C library: that of `make core`, or one of the tests' own where bitvit came otherwise."""
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    for folder in [*(ROOT / "build").glob(f"{version}-{version}*"), *(ROOT / "build").glob("cp312-abi3-*")]:
        cache = (folder / "CMakeCache.txt").read_text(encoding="utf-8")
        if "BITVIT_C:BOOL=ON" in cache:
            return folder
    return built("c", "-DBITVIT_C=ON", "-DBITVIT_WERROR=ON")


def installed(build: Path, prefix: Path) -> Path:
    """Install a build below `prefix`, which is returned."""
    run(["cmake", "--install", build, "--prefix", prefix])
    return prefix


def fnv1a(data: bytes) -> str:
    """The digest that `examples/c/classify.c --digest` prints."""
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return f"{digest:016x}"
