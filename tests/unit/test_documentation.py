"""What the pages name exists."""

from __future__ import annotations

import re
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
    paths = re.compile(r"`((?:src|cpp|tests|docs|examples|benchmarks)/[\w./-]+\.(?:py|cc|h|inc|inl|md|yaml))`")
    missing = {
        f"{page.name}: {path}"
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for path in paths.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists()
    }
    assert missing == set()
