"""Headers of Pythons, also of those that are not on this machine.

They come from a Python that is installed, or from Debian's package of that version. Those of Linux on x86-64 serve all
of Linux with 64 bits. Windows has the same, but for ``pyconfig.h``, which `pyconfig_windows.h` replaces; those of a
Python with and without its global lock differ by a line of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SUITES = ("bookworm", "trixie", "forky", "sid")
"""Debian's, the most settled first."""


class MissingHeaders(Exception):
    """There are no headers of this version to be had; the message says where they were looked for."""


def headers(version: str, free_threaded: bool, folder: Path, system: str = "Linux") -> Path:
    """Return a folder with Python.h and all that it includes.

    Args:
        version: such as ``3.12``.
        free_threaded: for the Python without its global lock.
        folder: where folders of headers are kept.
        system: ``Linux`` or ``Windows``, of 64 bits.

    Raises:
        MissingHeaders: neither this machine nor Debian has them.
    """
    found = folder / f"{version}{'t' if free_threaded else ''}{'-windows' if system == 'Windows' else ''}"
    if (found / "Python.h").exists():
        return found
    source, configuration = _original(version, folder)
    unfinished = folder / f"{found.name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished)
    if system == "Windows":
        configuration = Path(__file__).with_name("pyconfig_windows.h")
    text = configuration.read_text(encoding="utf-8")
    if free_threaded:
        text += "#define Py_GIL_DISABLED 1\n"
    (unfinished / "pyconfig.h").write_text(text, encoding="utf-8")
    unfinished.rename(found)
    return found


def declared_names(folder: Path) -> list[str]:
    """Names of all functions and variables that headers declare to be Python's."""
    declaration = re.compile(r"PyAPI_(?:FUNC|DATA)\([^()]*(?:\([^()]*\)[^()]*)*\)\s*\(?\*?\s*(\w+)")
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.h")))
    return sorted({name for text in texts for name in declaration.findall(text)})


def installed_pythons(version: str, free_threaded: bool = False) -> Iterator[Path]:
    """Find interpreters of a version: on the search path, and those of pyenv.

    Args:
        version: such as ``3.12``.
        free_threaded: those without a global lock instead of the others.
    """
    name = f"python{version}{'t' if free_threaded else ''}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(name), *sorted(pyenv.glob(f"{version}.*/bin/{name}"), reverse=True)]
    for candidate in candidates:
        command = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"] if candidate else ["false"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:  # a shim of pyenv is there for versions that are not chosen, too
            assert candidate is not None
            yield Path(candidate)


def _original(version: str, folder: Path) -> tuple[Path, Path]:
    """The headers of a version for Linux with the lock, and their pyconfig.h."""
    for python in installed_pythons(version):
        script = "import sysconfig as s; print(s.get_path('include'), s.get_config_h_filename(), sep='\\n')"
        done = subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True)
        include, configuration = map(Path, done.stdout.split("\n")[:2])
        if sysconfig.get_platform() == "linux-x86_64" and (include / "Python.h").exists() and configuration.exists():
            return include, configuration
    root = debian_packages([f"libpython{version}-dev"], folder / f"debian-{version}")
    include = root / f"usr/include/python{version}"
    configuration = root / f"usr/include/x86_64-linux-gnu/python{version}/pyconfig.h"
    return include, configuration


def debian_packages(names: list[str], folder: Path) -> Path:
    """Unpack Debian's packages, without installing them; returns the folder, which is kept.

    Args:
        names: such as ``libpython3.14-dev`` or ``libc6:arm64``, all from one suite.
        folder: to unpack them into.

    Raises:
        MissingHeaders: they are not to be had here.
    """
    if folder.exists():
        return folder
    reason = f"{' '.join(names)}: neither installed nor to be had from Debian"
    if shutil.which("apt-get") is None:
        raise MissingHeaders(reason)
    sources = "".join(_sources_of_apt())
    mirrors = re.findall(r"^(?:URIs:|deb ).*?(https?://\S+/debian)(?=[/\s])", sources, re.MULTILINE)
    for suite in SUITES if mirrors else ():
        unfinished = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        environment = _private_apt(f"{mirrors[0]} {suite} main", folder.with_name(f"apt-{suite}"))
        unfinished.mkdir(parents=True)
        done = subprocess.run(
            ["apt-get", "-qq", "download", *names], cwd=unfinished, env=environment, capture_output=True, check=False
        )
        if done.returncode:
            continue
        for package in unfinished.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, unfinished], check=True)
            package.unlink()
        if not (unfinished / "lib").exists():
            (unfinished / "lib").symlink_to("usr/lib")  # Debian's package base-files does it, from trixie on
        unfinished.rename(folder)
        return folder
    raise MissingHeaders(reason)


def _sources_of_apt() -> Iterator[str]:
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if path.exists():
            yield path.read_text(encoding="utf-8", errors="replace")


def _private_apt(source: str, state: Path) -> dict[str, str]:
    """The environment for an apt-get that knows this source alone, and leaves the machine's own lists as they are."""
    environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
    if (state / "ready").exists():
        return environment
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(
        f"deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {source}\n"
    )
    (state / "apt.conf").write_text(
        f'Dir::State "{state}"; Dir::State::status "{state}/status"; Dir::Cache "{state}/cache";\n'
        f'Dir::Etc::sourcelist "{state}/sources.list"; Dir::Etc::sourceparts "-";\n'
        'APT::Architecture "amd64"; APT::Architectures {"amd64"; "arm64";}; APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
    )
    update = ["apt-get", "-qq", "update", "--option", "APT::Update::Error-Mode=any"]
    if subprocess.run(update, env=environment, capture_output=True, check=False).returncode == 0:
        (state / "ready").touch()
    return environment
