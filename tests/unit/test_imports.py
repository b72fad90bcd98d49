"""Which package may import which (docs/architecture.md), and that running a network needs no PyTorch."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import bitvit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bitvit"

# Package -> the packages of bitvit that it may import besides itself and bitvit.errors.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "charge": set(),
    "timm_hook": set(),
    "figures": set(),
    "files": set(),
    "lazy_attributes": set(),
    "text": set(),
    "image_files": {"text"},
    "hub": set(),
    "trained": set(),
    "model_files": {"hub", "trained"},
    "web": {"files", "program"},
    "publishing": {"hub", "program", "tasks", "text", "trained"},
    "program": {"files", "lazy_attributes"},
    "runtime": {"program", "image_files", "text", "lazy_attributes", "model_files", "trained"},
    "interchange": {"files", "program", "runtime", "tasks"},
    "quantizers": {"charge"},
    "layers": {"quantizers", "charge"},
    "models": {"layers", "quantizers", "charge"},
    "tasks": {"figures", "program", "runtime", "text"},
    "data": {"files", "program", "runtime", "image_files", "text"},
    "checkpoints": {"hub", "models", "layers", "program", "files", "tasks", "text"},
    "training": {
        "text",
        "checkpoints",
        "export",
        "files",
        "tasks",
        "data",
        "models",
        "layers",
        "quantizers",
        "program",
        "runtime",
    },
    "export": {"tasks", "models", "layers", "quantizers", "program", "runtime"},
    "studies": {
        "tasks",
        "layers",
        "checkpoints",
        "files",
        "training",
        "export",
        "bench",
        "complexity",
        "data",
        "program",
        "recipes",
    },
}
# These are built on top of everything and may import any package.
AROUND = {"bench", "cli", "complexity", "inspection", "reporting", "__init__", "__main__", "recipes"}

# Folder of cpp/ -> the folders that its files may include besides their own (cpp/README.md).
CPP_ARROWS: dict[str, set[str]] = {
    "base": set(),
    "kernels": {"base"},
    "ops": {"base", "kernels"},
    "image": {"base"},
    "program": {"base", "ops", "image"},
    "engine": {"base", "kernels", "ops", "image", "program"},
    "predictor": {"base", "kernels", "ops", "image", "program", "engine"},
    "c": {"base", "program", "predictor", "image"},
    "bindings": {"base", "kernels", "ops", "image", "program", "engine"},
    "fuzz": {"base", "engine", "program", "ops"},
    "tests": {"base", "kernels", "ops", "image", "program", "engine"},
}

# What may be imported from outside besides the standard library, where that is a promise.
THIRD_PARTY = {
    "errors": set[str](),
    "__init__": set[str](),
    "timm_hook": set[str](),
    "figures": {"matplotlib"},
    "files": set[str](),
    "program": {"numpy"},
    "lazy_attributes": set[str](),
    "hub": {"huggingface_hub"},
    "model_files": set[str](),
    "trained": set[str](),
    "text": set[str](),
    "image_files": {"PIL"},
    "web": {"PIL"},
    "runtime": {"numpy", "PIL"},
}

LIGHT_MODULES = (
    "bitvit",
    "bitvit.tasks",
    "bitvit.tasks.classification",
    "bitvit.program",
    "bitvit.runtime",
    "bitvit.runtime.preprocessing",
)


def package_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def source_files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)


def imported_names(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything that a file imports, at any depth; ``from a import b`` gives ``a.b``."""
    package = ("bitvit", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_every_package_has_its_arrows() -> None:
    packages = {package_of(path) for path in source_files()}
    assert packages <= ARROWS.keys() | AROUND
    assert {"program", "runtime"} <= packages


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_import_arrows(package: str) -> None:
    allowed = ARROWS[package] | {package, "errors"}
    wrong = []
    for path in source_files():
        if package_of(path) != package:
            continue
        for name in imported_names(path):
            parts = name.split(".")
            if parts[0] != "bitvit" or len(parts) < 2:
                continue
            target = parts[1]
            is_core = package in ("program", "runtime") and target == "_core"
            if target not in allowed and not is_core:
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert wrong == []


def test_include_arrows() -> None:
    sources = [path for path in sorted((ROOT / "cpp").rglob("*")) if path.suffix in {".h", ".cc", ".inl", ".inc"}]
    assert {path.relative_to(ROOT / "cpp").parts[0] for path in sources} == CPP_ARROWS.keys()
    for path in sources:
        folder = path.relative_to(ROOT / "cpp").parts[0]
        included = set(re.findall(r'^#include "([a-z_0-9]+)/', path.read_text(encoding="utf-8"), re.MULTILINE))
        assert included <= CPP_ARROWS[folder] | {folder}, path


@pytest.mark.parametrize("package", sorted(THIRD_PARTY))
def test_third_party_imports(package: str) -> None:
    allowed = THIRD_PARTY[package] | {"bitvit"} | set(sys.stdlib_module_names)
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in source_files()
        if package_of(path) == package
        for name in imported_names(path)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_no_star_imports_and_no_catch_all_modules() -> None:
    for path in source_files():
        assert not any(name.endswith(".*") for name in imported_names(path)), path
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


BLOCK_TORCH = """
import sys
for name in ("torch", "torchvision", "timm", "lightning", "scipy", "sklearn"):
    sys.modules[name] = None  # any import of it raises ImportError
"""


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_imports_with_torch_blocked(module: str) -> None:
    run_python(f"{BLOCK_TORCH}\nimport {module}")


def test_program_runs_with_torch_blocked() -> None:
    code = f"""{BLOCK_TORCH}
sys.path.insert(0, {str(ROOT)!r})
from tests.support.tiny_file import tiny_file
from bitvit.program import Interpreter, read_bytes, to_bytes
import numpy as np
file = read_bytes(to_bytes(tiny_file()))
print(Interpreter(file.program, file.tensors).run(np.zeros((2, 4, 4, 3), np.uint8)).shape)
"""
    assert run_python(code).strip() == "(2, 3)"


def test_import_bitvit_is_light() -> None:
    heavy = run_python("import sys, bitvit; print([m for m in ('numpy', 'PIL', 'torch', 'timm') if m in sys.modules])")
    assert heavy.strip() == "[]"


def test_help_needs_no_numpy() -> None:
    code = "import sys; from bitvit.cli.entry import build_parser; build_parser(); print('numpy' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_prediction_imports_no_meanings_of_operators_and_no_rare_decoders() -> None:
    file = str(ROOT / "tests/unit/program/files/version_2.bitvit")
    code = f"""
import io, sys
from PIL import Image
import bitvit
png = io.BytesIO()
Image.new("RGB", (5, 4)).save(png, "PNG")
print(bitvit.load({file!r}).predict(io.BytesIO(png.getvalue())).label)
print([name for name in ("bitvit.program.operators", "PIL.TiffImagePlugin", "bitvit.tasks") if name in sys.modules])
"""
    label, found = run_python(code).splitlines()
    assert label
    assert found == "[]"


def test_reading_checkpoints_needs_no_lightning() -> None:
    pytest.importorskip("torch")
    run_python("import sys; sys.modules['lightning'] = None\nimport bitvit.checkpoints")


def test_unknown_attributes() -> None:
    for module in (bitvit, bitvit.runtime):
        with pytest.raises(AttributeError, match="no_such_thing"):
            _ = module.no_such_thing
    assert {"load", "pack", "binarize", "create_model", "__version__"} <= set(dir(bitvit))


def test_version_is_that_of_the_project() -> None:
    """Python's comes from git; the release that is being worked on is written in four files, which agree."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (written,) = re.findall(r'^fallback_version = "(\d+\.\d+\.\d+)\.dev0"$', text, re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {written}\n" in citation
    package = json.loads((ROOT / "web" / "package" / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == written
    assert f"\n## {written} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.match(r"\d+\.\d+\.\d+(\.dev\d+)?(\+|$)", bitvit.__version__)
    assert bitvit.__version__ == metadata.version("bitvit")


MODEL = "gsb_deit_small_patch16_224"


@pytest.mark.parametrize("imports", ["bitvit, timm", "timm, bitvit"])
def test_models_are_registered_with_timm(imports: str) -> None:
    pytest.importorskip("timm")
    assert run_python(f"import {imports}; print(timm.is_model({MODEL!r}))").strip() == "True"


@pytest.mark.parametrize("package", ["layers", "quantizers"])
def test_what_models_are_made_of_imports_no_timm(package: str) -> None:
    """Importing timm registers the models: they would find a package below them half imported, and be left out."""
    importing = re.compile(r"^(?:from|import) timm\b", re.MULTILINE)
    paths = sorted((ROOT / "src" / "bitvit" / package).rglob("*.py"))
    assert paths
    assert [path.name for path in paths if importing.search(path.read_text(encoding="utf-8"))] == []


def test_timm_keeps_its_own_loader_and_mere_searching_does_not_unhook() -> None:
    pytest.importorskip("timm")
    code = f"""
import sys, importlib.util, bitvit
n_finders = len(sys.meta_path)
assert importlib.util.find_spec("timm") is not None
assert "timm" not in sys.modules and len(sys.meta_path) == n_finders
import timm, timm.layers
assert timm.is_model({MODEL!r})
assert type(timm.__loader__).__module__.startswith("_frozen_importlib"), type(timm.__loader__)
assert timm.__spec__.loader is timm.__loader__
assert len(sys.meta_path) == n_finders - 1
"""
    run_python(code)
