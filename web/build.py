"""Builds what runs in browsers: the npm package, and a page that is one file.

``build/web/package`` is the npm package: ``bitvit.wasm``, and what lies in ``web/package``. The page is made of
``web/page`` with that module inside: ``build/web/bitvit.html`` opens with the networks that come with bitvit, and
``src/bitvit/web/page.html`` is the page without a network, which ``bitvit web`` fills and wheels take along.

Needs CMake and clang for WebAssembly; on Debian: apt-get install clang-14 lld-14 wasi-libc libc++-14-dev-wasm32
libc++abi-14-dev-wasm32 libclang-rt-14-dev-wasm32.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bitvit.files import write_atomically
from bitvit.trained import trained_models
from bitvit.web import page_model, web_page

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


def build_page(module: Path) -> str:
    """Return the page without a network: one HTML file, with the compressed module and the worker's script inside."""
    source = ROOT / "web/page"
    # A script of a worker instead of a module, so that every browser starts it from a Blob.
    package = (ROOT / "web/package/index.js").read_text()
    package = re.sub(r"^export ", "", package, flags=re.MULTILINE).replace("import.meta.url", "self.location.href")
    parts = {
        "STYLE": (source / "style.css").read_text(),
        "WASM": base64.b64encode(gzip.compress(module.read_bytes(), 9, mtime=0)).decode(),
        "WORKER": package + (source / "worker.js").read_text(),
        "PAGE": "".join((source / f"{name}.js").read_text() for name in ("engine", "pixels", "answer", "page")),
    }
    page = (source / "page.html").read_text()
    for name, text in parts.items():
        if "</script" in text or page.count(f"/*{name}*/") != 1:
            sys.exit(f"error: {name} cannot be put into the page")
        page = page.replace(f"/*{name}*/", text.strip())
    return page


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
    template = build_page(module)
    write_atomically(ROOT / "src/bitvit/web/page.html", template.encode())
    page = out / "bitvit.html"
    write_atomically(page, web_page([page_model(trained.path, [trained.sample]) for trained in trained_models()]))
    print(f"{page}: {page.stat().st_size} bytes, {len(template)} without networks")


if __name__ == "__main__":
    main()
