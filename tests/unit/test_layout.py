"""Where tests of modules are: `tests/unit` mirrors `src/bitvit`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bitvit"
UNIT = ROOT / "tests" / "unit"

# Tests of several modules, or of what is not one.
EXCEPTIONS = {
    "test_docstrings.py": "of all public functions",
    "test_documentation.py": "of the pages",
    "test_imports.py": "of the arrows between packages",
    "test_instruction_sets.py": "of the lists in cpp",
    "test_layout.py": "of the tests themselves",
    "program/test_huge_integers.py": "of the validator in cpp/program, with the engine",
    "program/test_limits.py": "of the validator in cpp/program, with the engine",
    "program/test_malformed_files.py": "of the validator in cpp/program, with the engine",
    "program/test_memory_bounds.py": "of what operators declare in cpp/ops, with the engine",
    "program/test_operator_homes.py": "of cpp/ops, program/operators, docs/format.md and tests/operators together",
    "quantizers/test_comparison_quantizers.py": "of the estimators of the compared methods, a few lines for each",
    "quantizers/test_react_quantizers.py": "of the estimators that BinaryViT and BHViT share, a few lines for each",
}


def test_a_test_lies_where_its_module_does() -> None:
    """`tests/unit/a/test_b.py` and `test_b_topic.py` are tests of `src/bitvit/a/b.py`, or of the package `a/b`."""
    lost = []
    for path in sorted(UNIT.rglob("test_*.py")):
        name = str(path.relative_to(UNIT))
        package = SOURCE / path.parent.relative_to(UNIT)
        modules = {entry.stem for entry in package.iterdir()} if package.is_dir() else set()
        words = path.stem.removeprefix("test_").split("_")
        starts = {"_".join(words[:end]) for end in range(1, len(words) + 1)}
        if name not in EXCEPTIONS and not starts & modules:
            lost.append(name)
    assert lost == []


def test_exceptions_exist() -> None:
    assert [name for name in EXCEPTIONS if not (UNIT / name).is_file()] == []
