"""Packages: their version comes from git where there is git, and docs/install.md's commands run with what is built."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from bitvit.trained import trained_model
from tests.support.page_blocks import ALL_BLOCKS, ROOT

RUN_TIME = ("numpy", "pillow", "rich", "rich-argparse", "pyyaml")


def run(command: Sequence[object], folder: Path, **environment: str) -> str:
    """Run a command that must succeed, away from the packages of the tests; returns its standard output."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GIT_", "SETUPTOOLS"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, timeout=900, cwd=folder, env={**inherited, **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


# ---- Version ---------------------------------------------------------------------------------------------------------

BUILD_HOOK = "from scikit_build_core.build import {hook} as hook; print(hook(*{arguments}))"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What the metadata of the package is made of, in a folder of its own."""
    folder = tmp_path / "bitvit"
    (folder / "src/bitvit").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CMakeLists.txt", "src/bitvit/__init__.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def git(folder: Path, *arguments: str) -> None:
    run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], folder)


def version_of(folder: Path) -> str:
    """The version that a wheel of these sources has."""
    hook = BUILD_HOOK.format(hook="prepare_metadata_for_build_wheel", arguments=(tempfile.mkdtemp(dir=folder.parent),))
    (version,) = re.findall(r"^bitvit-(.+)\.dist-info$", run([sys.executable, "-c", hook], folder), re.MULTILINE)
    return str(version)


def written_version() -> str:
    (version,) = re.findall(r'^fallback_version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    return str(version)


def test_version_comes_from_the_tag(sources: Path) -> None:
    git(sources, "init", "--quiet")
    git(sources, "add", ".")
    git(sources, "commit", "--quiet", "-m", "one")
    assert re.fullmatch(
        re.escape(written_version()[:-1]) + r"1\+g[0-9a-f]+", version_of(sources)
    )  # a clone without tags
    git(sources, "tag", "v1.2.3")
    assert version_of(sources) == "1.2.3"
    git(sources, "commit", "--quiet", "--allow-empty", "-m", "two")
    assert re.fullmatch(r"1\.2\.4\.dev1\+g[0-9a-f]+", version_of(sources))


def test_version_without_git(sources: Path, tmp_path: Path) -> None:
    """An archive of the repository, and one that lies in a repository of something else."""
    assert version_of(sources) == written_version()
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "of something else")
    git(tmp_path, "tag", "v7.0.0")
    assert version_of(sources) == written_version()


def test_source_distribution_keeps_its_version(sources: Path, tmp_path: Path) -> None:
    git(sources, "init", "--quiet")
    git(sources, "add", ".")
    git(sources, "commit", "--quiet", "-m", "one")
    git(sources, "tag", "v1.2.3")
    run([sys.executable, "-c", BUILD_HOOK.format(hook="build_sdist", arguments=(str(tmp_path),))], sources)
    with tarfile.open(tmp_path / "bitvit-1.2.3.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert version_of(tmp_path / "bitvit-1.2.3") == "1.2.3"


# ---- Commands of the page --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bitvit's wheel, and those that it needs to predict: what a package index would have."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "download", "--quiet", "--only-binary", ":all:", "--dest", folder, "pip", *RUN_TIME], check=False
    )
    if done.returncode:
        pytest.skip("needs a package index to download what bitvit requires")
    run([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT], folder)
    return folder


def commands_with(word: str) -> list[str]:
    """The commands of docs/install.md that predict, from the block that has this word."""
    (block,) = (b for b in ALL_BLOCKS if b.page == "docs/install.md" and f"{word} " in b.text and " digits " in b.text)
    return [command for command in block.commands() if command.startswith(word) or word == "pip install"]


@pytest.mark.ecosystem
@pytest.mark.parametrize("word", ["pip install", "pipx run", "uvx"])
def test_first_commands_of_the_page(word: str, wheels: Path, tmp_path: Path) -> None:
    """As they stand there, from an index that holds the wheel, in an environment without PyTorch."""
    tool = word.split()[0]
    if tool != "pip" and shutil.which(tool, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") is None:
        pytest.skip(f"needs {tool}: make test-ecosystem installs it")
    for name in ("digits", "fashion-mnist"):
        model = trained_model(name)
        assert model is not None
        shutil.copy(model.sample, tmp_path / "photo.png")
        environment = {
            **{"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIPX_HOME": str(tmp_path / "pipx")},
            **{"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(tmp_path / "uv")},
            **{"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"},
            **{"PIPX_DEFAULT_PYTHON": sys.executable, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        }
        if tool == "pip":
            venv.create(tmp_path / "environment", with_pip=True)
            environment["PATH"] = f"{tmp_path / 'environment/bin'}:{environment['PATH']}"
        commands = [command.replace(" digits ", f" {name} ") for command in commands_with(word)]
        assert commands
        for command in commands:
            answer = run(shlex.split(command), tmp_path, **environment)
        (expected,) = re.findall(r"^A picture to try: (.+)$", model.card.read_text("utf-8"), re.MULTILINE)
        assert expected in answer.splitlines()[0] or expected in answer, answer


@pytest.mark.ecosystem
def test_training_leaves_pytorch_for_cpus_alone(wheels: Path, tmp_path: Path) -> None:
    """Where a build for CPUs is there, `bitvit[train]` neither replaces it nor brings CUDA."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("needs uv: make test-ecosystem installs it")
    venv.create(tmp_path / "environment")
    python = tmp_path / "environment/bin/python"
    version = f"{metadata.version('torch').partition('+')[0]}+cpu"
    site = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip())
    (site / f"torch-{version}.dist-info").mkdir()  # what package managers see of it
    (site / f"torch-{version}.dist-info/METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    )
    (wheel,) = wheels.glob("bitvit-*.whl")
    done = subprocess.run(
        [uv, "pip", "install", "--dry-run", "--python", python, f"{wheel}[train]"],
        capture_output=True, text=True, check=False, env={**os.environ, "UV_CACHE_DIR": str(tmp_path / "uv")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    added = re.findall(r"^ \+ ([\w-]+)", done.stderr, re.MULTILINE)
    assert {"bitvit", "torchvision", "lightning"} <= set(added)
    assert [name for name in added if re.match(r"torch$|nvidia|cuda|triton", name)] == []
