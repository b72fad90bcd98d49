"""Builds the npm package into ``build/web/package``: bitvit.wasm, and what lies in ``web/package``.

Needs CMake and clang for WebAssembly; on Debian: apt-get install clang-14 lld-14 wasi-libc libc++-14-dev-wasm32
libc++abi-14-dev-wasm32 libclang-rt-14-dev-wasm32.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_GZIPPED_BYTES = 250_000
"""A page with a network inside should be small beside its network."""


def build_module(folder: Path) -> Path:
    """Compile bitvit.wasm; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = [
        f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cpp/wasm32-wasi.cmake'}",
        f"-DPython_EXECUTABLE={sys.executable}",
        "-DBITVIT_PYTHON=OFF",
        "-DBITVIT_TESTS=ON",
    ]
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, *generator, *options], check=True, stdout=sys.stderr)
    command = ["cmake", "--build", folder, "--parallel", str(len(os.sched_getaffinity(0)))]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return folder / "cpp/wasm/bitvit.wasm"


def main() -> None:
    """Build, and print the sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build/web")
    out = parser.parse_args().out
    module = build_module(out / "cmake")
    package = out / "package"
    shutil.copytree(ROOT / "web/package", package, dirs_exist_ok=True)
    shutil.copy(ROOT / "LICENSE", package)
    shutil.copy(module, package / "bitvit.wasm")
    size = len(gzip.compress(module.read_bytes(), 9))
    print(f"{package / 'bitvit.wasm'}: {module.stat().st_size} bytes, {size} gzipped")
    if size > MAX_GZIPPED_BYTES:
        sys.exit(f"error: more than {MAX_GZIPPED_BYTES} bytes gzipped")


if __name__ == "__main__":
    main()
