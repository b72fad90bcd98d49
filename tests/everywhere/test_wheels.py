"""What `make wheels` built: small, complete, for the systems that their names say, and the same bits as here.

A test whose wheel, Python or emulator is missing is skipped and says so.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from bitvit.runtime import available_isas
from bitvit.trained import trained_models
from tests.everywhere.test_one_answer import digests_of_python
from tests.one_answer import random_pictures
from tests.support.native_builds import ROOT, require, run
from wheels.build import ABIS, TARGETS
from wheels.headers import MissingHeaders, debian_packages, installed_pythons

pytestmark = [pytest.mark.everywhere, pytest.mark.long]

MAX_BYTES = 3_000_000
WHEELS = sorted((ROOT / "dist").glob("bitvit-*.whl"))
SOURCES = [path for folder in ("src", "cpp") for path in (ROOT / folder).rglob("*") if path.is_file()]
SOURCES = [path for path in SOURCES if "__pycache__" not in path.parts]

PREDICT = """
import sys
import bitvit
from bitvit.trained import trained_models
def fnv1a(data):
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return f"{digest:016x}"
for trained in trained_models():
    model = bitvit.load(trained.path, threads=1)
    for picture in [str(trained.sample), *sys.argv[1:]]:
        answer = model.predict(picture)
        print(fnv1a((answer.label_map if model.info.task == "segmentation" else answer.logits).tobytes()))
"""


def wheel_of(target: str, abi: str) -> Path:
    """The wheel for a system and a Python; skips where `make wheels` did not build it from these sources."""
    python, _, stable = abi.partition("-")
    name = f"-{python.rstrip('t')}-{stable or python}-{TARGETS[target].tag}.whl"
    found = [path for path in WHEELS if path.name.endswith(name)]
    if not found or found[0].stat().st_mtime < max(path.stat().st_mtime for path in SOURCES):
        pytest.skip(f"needs the wheel of {abi} for {target}, of these sources: make wheels")
    return found[0]


ALL = [(target, abi) for target in TARGETS for abi in ABIS]


@pytest.mark.parametrize(("target", "abi"), ALL)
def test_content(target: str, abi: str) -> None:
    wheel = wheel_of(target, abi)
    assert wheel.stat().st_size <= MAX_BYTES
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        (information,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/WHEEL"))
        files = {name: archive.read(name) for name in names if name.startswith("bitvit/")}
    del files[f"bitvit/{TARGETS[target].core(abi)}"]
    package = ROOT / "src"
    assert files == {
        path.relative_to(package).as_posix(): path.read_bytes() for path in SOURCES if path.is_relative_to(package)
    }
    assert "bitvit/web/page.html" in files
    fields = message_from_string(information)
    assert fields["Root-Is-Purelib"] == "false"
    tags = wheel.stem.split("-", 2)[2]
    python, abi_tag, platforms = tags.split("-")
    assert set(fields.get_all("Tag", [])) == {f"{python}-{abi_tag}-{platform}" for platform in platforms.split(".")}


@pytest.mark.parametrize("target", TARGETS)
def test_stable_abi(target: str) -> None:
    run([sys.executable, "-m", "abi3audit", "--strict", "--verbose", wheel_of(target, "cp312-abi3")])


@pytest.mark.parametrize(("target", "abi"), [pair for pair in ALL if pair[0].startswith("manylinux")])
def test_c_library_of_linux(target: str, abi: str) -> None:
    """The system's C library suffices, of the version that the name says."""
    wheel = wheel_of(target, abi)
    report = run([sys.executable, "-m", "auditwheel", "show", wheel])
    (found,) = re.findall(r'tag:\s+"(\w+)"', report)
    assert found in TARGETS[target].tag.split("."), report


@pytest.mark.parametrize(("target", "abi"), [pair for pair in ALL if pair[0].startswith("musllinux")])
def test_c_library_of_musl(target: str, abi: str) -> None:
    """It is all that is needed; its loader takes this name for itself. (auditwheel would look here, where glibc is.)"""
    elf = pytest.importorskip("elftools.elf.elffile", reason="needs pyelftools, which auditwheel brings")
    with zipfile.ZipFile(wheel_of(target, abi)) as archive, archive.open(f"bitvit/{TARGETS[target].core(abi)}") as core:
        dynamic = elf.ELFFile(core).get_section_by_name(".dynamic")
        needed = [tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
    assert needed == ["libc.so"]


@pytest.mark.parametrize("abi", ABIS)
def test_libraries_of_windows(abi: str, tmp_path: Path) -> None:
    """Nothing but Python's, and what every Windows from 10 on has."""
    pefile = pytest.importorskip("pefile", reason="needs pefile, which abi3audit brings")
    wheel = wheel_of("windows_x86_64", abi)
    with zipfile.ZipFile(wheel) as archive:
        core = pefile.PE(data=archive.read(f"bitvit/{TARGETS['windows_x86_64'].core(abi)}"))
    libraries = {entry.dll.decode().lower() for entry in core.DIRECTORY_ENTRY_IMPORT}
    python = "python3.dll" if "abi3" in abi else f"python{abi[2:]}.dll"
    others = {name for name in libraries if name != "kernel32.dll" and not name.startswith("api-ms-win-crt-")}
    assert others == {python}
    assert b"PyInit__core" in [symbol.name for symbol in core.DIRECTORY_ENTRY_EXPORT.symbols]


# ---- Where they are installed ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return random_pictures(5, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def expected(pictures: list[Path]) -> list[str]:
    """What the core of this checkout answers."""
    isa = available_isas()[-1]
    found = []
    for trained in trained_models():
        found += digests_of_python(trained.path, [trained.sample, *pictures], isa)
    return found


def environment_without(*prefixes: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("abi", "version"),
    [
        ("cp310", "3.10"),
        ("cp311", "3.11"),
        *(("cp312-abi3", f"3.{minor}") for minor in range(12, 17)),
        ("cp314t", "3.14"),
    ],
)
def test_installed_in_an_empty_environment(
    abi: str, version: str, pictures: list[Path], expected: list[str], tmp_path: Path
) -> None:
    """With run-time dependencies only, and nothing compiled on the way."""
    wheel = wheel_of("manylinux_x86_64", abi)
    python = next(installed_pythons(version, free_threaded="t" in abi), None)
    if python is None or platform.machine() != "x86_64":
        pytest.skip(f"needs Python {version}{'t' * ('t' in abi)} on x86-64")
    environment = environment_without("PYTHON", "VIRTUAL_ENV", "BITVIT_")
    run([python, "-m", "venv", tmp_path / "environment"], env=environment)
    binaries = tmp_path / "environment/bin"
    pip = [binaries / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    run([*pip, wheel], env=environment, cwd=tmp_path)
    found = run([binaries / "python", "-c", PREDICT, *pictures], env=environment, cwd=tmp_path)
    assert found.split() == expected
    for trained in trained_models():
        picture = (
            [trained.name, trained.sample] if trained.name != "scenes" else ["scenes", trained.sample, "--out", "o"]
        )
        assert run([binaries / "bitvit", "predict", *picture], env=environment, cwd=tmp_path)
    run([binaries / "bitvit", "web", "digits", "--out", "digits.html"], env=environment, cwd=tmp_path)
    assert (tmp_path / "digits.html").stat().st_size > 400_000


LIBRARIES = ("libc6", "zlib1g", "libexpat1", "libffi8", "libgcc-s1", "libstdc++6")


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a76"])
@pytest.mark.parametrize(("abi", "version"), [("cp311", "3.11"), ("cp312-abi3", "3.13")])
def test_on_aarch64(
    abi: str, version: str, cpu: str, pictures: list[Path], expected: list[str], tmp_path: Path
) -> None:
    """In Debian's Python for AArch64, under an emulator, with the wheels that its pip would choose."""
    require("qemu-aarch64")
    wheel = wheel_of("manylinux_aarch64", abi)
    python = [f"python{version}-minimal", f"libpython{version}-minimal", f"libpython{version}-stdlib"]
    try:
        names = [f"{name}:arm64" for name in (*python, *LIBRARIES)]
        root = debian_packages(names, ROOT / f"build/wheels/headers/python{version}-arm64")
    except MissingHeaders as error:
        pytest.skip(str(error))
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (28, 17)] + ["--platform=manylinux2014_aarch64"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", tmp_path / "site"]
    run([*pip, *platforms, "--implementation", "cp", "--python-version", version, wheel])
    emulated = ["qemu-aarch64", "-L", root, "-cpu", cpu, "-E", f"PYTHONHOME={root / 'usr'}"]
    emulated += ["-E", f"PYTHONPATH={tmp_path / 'site'}", root / f"usr/bin/python{version}"]
    environment = environment_without("PYTHON", "BITVIT_")
    found = run([*emulated, "-c", PREDICT, *pictures], env=environment, cwd=tmp_path)
    assert found.split() == expected
