"""Builds wheels for Linux and Windows on one machine, with the compiler of PyPI's ziglang.

python wheels/build.py
python wheels/build.py --targets manylinux_x86_64 --abis cp312-abi3 --out build/some

The engine is compiled once for each target; then follow the bindings for each Python, which differ by its headers. What
is written in Python is the same in all wheels. A wheel whose headers are not to be had (wheels/headers.py) is left out,
which is said at the end, and the exit code is 1. `make wheels` builds the page for browsers before, which goes into
wheels, and tests them after (tests/everywhere/test_wheels.py).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wheels.headers import MissingHeaders, declared_names, headers

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/wheels"


@dataclass(frozen=True)
class Target:
    """A system to build for.

    Attributes:
        zig: its name for zig, with the least version of its C library.
        tag: its name in wheels.
    """

    zig: str
    tag: str

    @property
    def system(self) -> str:
        """As CMake calls it."""
        return "Windows" if "-windows-" in self.zig else "Linux"

    def core(self, abi: str) -> str:
        """The name of the compiled module in a wheel.

        It ends in a plain suffix, which each Python loads; whether this is the right one says the name of the wheel.
        """
        if self.system == "Windows":
            return "_core.pyd"
        return "_core.abi3.so" if "abi3" in abi else "_core.so"


TARGETS = {
    "manylinux_x86_64": Target("x86_64-linux-gnu.2.17", "manylinux2014_x86_64.manylinux_2_17_x86_64"),
    "manylinux_aarch64": Target("aarch64-linux-gnu.2.17", "manylinux2014_aarch64.manylinux_2_17_aarch64"),
    "musllinux_x86_64": Target("x86_64-linux-musl", "musllinux_1_2_x86_64"),
    "musllinux_aarch64": Target("aarch64-linux-musl", "musllinux_1_2_aarch64"),
    "windows_x86_64": Target("x86_64-windows-gnu", "win_amd64"),
}
ABIS = ("cp310", "cp311", "cp312-abi3", "cp314t")
"""Of Python: one for 3.12 and all later ones, one for those without the global lock, and those before."""


def run(command: Sequence[object], **environment: str) -> None:
    """Run a command that must succeed; what it says goes to standard error."""
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr, env={**os.environ, **environment})


def python_part(folder: Path) -> Path:
    """Build the wheel without the compiled core; returns it unpacked."""
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(
        [*pip, "--config-settings=wheel.cmake=false", "--config-settings=wheel.py-api=py3", "--wheel-dir", folder, ROOT]
    )
    (wheel,) = folder.glob("bitvit-*.whl")
    run([sys.executable, "-m", "wheel", "unpack", "--dest", folder, wheel])
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    return unpacked


def zig() -> Path:
    """The program of the package ziglang."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        sys.exit("error: ziglang is missing: pip install --group wheels")
    return Path(found.origin).with_name("zig")


def import_library(abi: str, python_headers: Path) -> Path:
    """What a module for Windows is linked with instead of Python: the names that its DLL exports."""
    python, _, stable = abi.partition("-")
    dll = "python3" if stable else f"python{python[2:]}"
    definitions = python_headers.with_name(f"{dll}.def")
    definitions.write_text("\n".join([f"LIBRARY {dll}.dll", "EXPORTS", *declared_names(python_headers), ""]))
    library = definitions.with_name(f"lib{dll}.dll.a")
    run([zig(), "dlltool", "-m", "i386:x86-64", "-d", definitions, "-l", library])
    return library


def compiled_core(target: Target, abi: str, folder: Path) -> Path:
    """Compile bitvit._core for a system and a Python; only the bindings, where the engine is there already."""
    version = f"3.{abi[3:].partition('-')[0].rstrip('t')}"
    python_headers = headers(version, "t" in abi, BUILD / "headers", target.system)
    options = [
        f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cpp/zig.cmake'}",
        f"-DBITVIT_ZIG={zig()}",
        f"-DBITVIT_ZIG_TARGET={target.zig}",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-DBITVIT_PYTHON_ABI={abi}",
        f"-DBITVIT_PYTHON_HEADERS={python_headers}",
    ]
    if target.system == "Windows":
        options.append(f"-DBITVIT_PYTHON_LIBRARY={import_library(abi, python_headers)}")
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(BUILD / "zig"), "ZIG_LOCAL_CACHE_DIR": str(BUILD / "zig")}
    for old in folder.glob("_core*"):
        old.unlink()
    run(["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *options], **caches)
    jobs = str(len(os.sched_getaffinity(0)))
    run(["cmake", "--build", folder, "--target", "_core", "--parallel", jobs], **caches)
    (core,) = (path for path in folder.glob("_core*") if path.suffix in {".so", ".pyd"})
    return core


def assemble(part: Path, core: Path, target: Target, abi: str, out: Path) -> None:
    """Put the compiled core beside the Python part, and pack both under the names of the system and the Python."""
    folder = core.parent / "wheel" / part.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(part, folder)
    shutil.copy(core, folder / "bitvit" / target.core(abi))
    python, _, stable = abi.partition("-")
    tags = [f"{python.rstrip('t')}-{stable or python}-{platform}" for platform in target.tag.split(".")]
    (information,) = folder.glob("*.dist-info/WHEEL")
    lines = [line for line in information.read_text("utf-8").splitlines() if line and not line.startswith("Tag: ")]
    lines = ["Root-Is-Purelib: false" if line.startswith("Root-Is-Purelib") else line for line in lines]
    information.write_text("\n".join([*lines, *(f"Tag: {tag}" for tag in tags), ""]), "utf-8")
    run([sys.executable, "-m", "wheel", "pack", "--dest-dir", out, folder])


def main() -> int:
    """Build, and print the sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--abis", nargs="+", default=list(ABIS), metavar="ABI", help="such as cp311 or cp314t")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("bitvit-*.whl"):
        old.unlink()
    part = python_part(BUILD / "python")
    if not (part / "bitvit/web/page.html").exists():
        sys.exit("error: the page for browsers is not built: make web")
    missing = []
    for name in arguments.targets:
        for abi in arguments.abis:
            try:
                core = compiled_core(TARGETS[name], abi, BUILD / name)
            except MissingHeaders as error:
                missing.append(f"no wheel of {abi} for {name}: {error}")
                continue
            assemble(part, core, TARGETS[name], abi, out)
    for wheel in sorted(out.glob("bitvit-*.whl")):
        files = zipfile.ZipFile(wheel).infolist()
        (core_size,) = (file.file_size for file in files if file.filename.endswith((".so", ".pyd")))
        print(f"{wheel.stat().st_size:9,} bytes, core {core_size:9,}: {wheel.name}")
    print(*missing, sep="\n", end="\n" if missing else "")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
