"""What the pages name exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]
SOURCES = [
    path
    for folder in ("src", "cpp", "tests", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".cc", ".h", ".inc", ".inl"}
]


def test_the_pages_name_classes_that_exist() -> None:
    """A renamed class must not live on in a page. Names of other projects are written without this notation."""
    words = {word for path in SOURCES for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    unknown = {
        f"{page.name}: {name}"
        for page in PAGES
        for name in re.findall(r"`([A-Z][a-z]+[A-Z]\w*)`", page.read_text(encoding="utf-8"))
        if name not in words
    }
    assert unknown == set()


def test_the_pages_name_files_that_exist() -> None:
    """Paths are those of the repository, of `src/bitvit`, or of `cpp`."""
    folders = [ROOT, ROOT / "src" / "bitvit", ROOT / "cpp"]
    tops = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()} - {"build"}
    paths = re.compile(rf"`((?:{'|'.join(sorted(tops))})/[\w./-]+\.(?:py|cc|h|inc|inl|md|yaml))`")
    missing = {
        f"{page.name}: {path}"
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for path in paths.findall(page.read_text(encoding="utf-8"))
        if not any((folder / path).exists() for folder in folders)
    }
    assert missing == set()


def test_the_pages_import_names_that_exist() -> None:
    """Of every `from bitvit... import ...` and every dotted name such as `bitvit.tasks.Task`."""
    missing = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = [
            f"{module}.{name}"
            for module, names in re.findall(r"^from (bitvit[\w.]*) import ([\w, ]+|\([\w,\s]+)", text, re.MULTILINE)
            for name in re.findall(r"\w+", names)
        ]
        named += re.findall(r"`(bitvit(?:\.\w+)+)(?:\([^`]*\))?`", text)
        missing |= {f"{page.name}: {name}" for name in named if not _exists(name) and name != "bitvit.h"}
    assert missing == set()


def _exists(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    module, _, attribute = name.rpartition(".")
    try:
        import_module(name)
    except ImportError:
        return bool(module) and hasattr(import_module(module), attribute)
    return True
