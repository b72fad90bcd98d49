"""Docstrings that tools can parse: one argument per line, under the name that it has in the code."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "bitvit"
SECTIONS = ("Args", "Attributes")
ENTRY = re.compile(r"(\*{0,2}\w+): \S")

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def entries(docstring: str, section: str) -> Iterator[str]:
    """Give the first line of each entry of a section."""
    lines = iter(docstring.split("\n"))
    if f"{section}:" not in (line.strip() for line in lines):
        return
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent < 4:
            return
        if line.strip() and indent == 4:
            yield line.strip()


def parameters(node: Documented) -> set[str] | None:
    """Return the names of the parameters of a function or a class; None where a class inherits them."""
    if isinstance(node, ast.ClassDef):
        made_by = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        if not made_by:
            return None
        node = made_by[0]
    given = node.args
    names = {argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    return names | {
        f"{'*' * stars}{argument.arg}" for stars, argument in ((1, given.vararg), (2, given.kwarg)) if argument
    }


def faults(tree: ast.AST) -> Iterator[str]:
    """Give what is wrong with the sections of a module's docstrings."""
    for node in ast.walk(tree):
        docstring = ast.get_docstring(node) if isinstance(node, Documented) else None
        if docstring is None:
            continue
        assert isinstance(node, Documented)
        for section in SECTIONS:
            for entry in entries(inspect.cleandoc(docstring), section):
                match = ENTRY.match(entry)
                known = parameters(node) if section == "Args" else None
                if match is None:
                    yield f"{node.name}: not `name: text`: {entry}"
                elif known is not None and match.group(1) not in known:
                    yield f"{node.name}: no such argument: {entry}"
                elif re.search(r"\. [a-z_]+: ", entry):
                    yield f"{node.name}: two arguments on a line: {entry}"


@pytest.mark.parametrize("package", sorted(path.name for path in SOURCE.iterdir() if path.suffix in ("", ".py")))
def test_every_argument_has_a_line_of_its_own(package: str) -> None:
    root = SOURCE / package
    found = [
        f"{path.relative_to(SOURCE)}: {fault}"
        for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))
        for fault in faults(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "\n".join(found)


def test_the_check_finds_faults() -> None:
    sections = "Args:\n        a: one. b: two.\n        a, b: both.\n        c: three.\n"
    text = f'def f(a, b):\n    """Do.\n\n    {sections}    """\n'
    kinds = [fault.split(": ")[1] for fault in faults(ast.parse(text))]
    assert kinds == ["two arguments on a line", "not `name", "no such argument"]
