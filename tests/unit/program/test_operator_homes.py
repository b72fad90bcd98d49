"""An operator has four homes, and they agree: its declaration in cpp/ops, its meaning in bitvit.program.operators, its
section of docs/format.md, and its tests in tests/operators."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from bitvit.program import OPERATORS, Declaration, Op, declarations, operator_cost
from tests.support.operator_homes import CASES, HOMES, LOOPS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
SECTIONS = {
    name: text
    for heading, text in re.findall(r"^### ((?:`\w+`(?:, )?)+)\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`(\w+)`", heading)
}
ALL = sorted(declarations())


def family_of(name: str) -> str:
    """The file of `cpp/ops` that declares the operator, without its ending."""
    line = f"BITVIT_OPERATOR({name}) {{"
    files = [path for path in (ROOT / "cpp" / "ops").glob("*.cc") if line in path.read_text().splitlines()]
    assert len(files) == 1, (name, files)
    return files[0].stem


def test_every_operator_has_all_four() -> None:
    assert set(OPERATORS) == set(SECTIONS) == set(CASES) == set(LOOPS) == set(declarations())
    assert len(ALL) >= 39


@pytest.mark.parametrize("name", ALL)
def test_the_four_have_the_same_file_name(name: str) -> None:
    family = family_of(name)
    assert hasattr(importlib.import_module(f"bitvit.program.operators.{family}"), f"run_{name}")
    assert hasattr(HOMES[family], f"case_{name}")
    assert hasattr(HOMES[family], f"loop_{name}")


@pytest.mark.parametrize("name", ALL)
def test_the_page_names_everything(name: str) -> None:
    declared: Declaration = declarations()[name]
    section = SECTIONS[name]
    for item in (*declared.attributes, *declared.parameters):
        assert f"`{item.name}`" in section, f"{item.name} of {name}"
    numbers = {
        number
        for text in (
            *(bound for a in declared.attributes for bound in (a.low, a.high)),
            *(b for *_, b in declared.limits),
        )
        for number in re.findall(r"\b\d+\b", text)
    }
    for number in numbers:
        assert re.search(rf"\b{number}\b", section), f"{number} of {name}"
    for attribute in declared.attributes:
        for choice in attribute.choices:
            assert f'"{choice}"' in section, f"{choice} of {name}"
    for operand in (*declared.inputs, *declared.outputs, *declared.parameters):
        for form in operand.type.split(" | "):
            for kind in form.split(" ")[0].split("|"):
                assert kind in section, f"{kind} of {name}"


@pytest.mark.parametrize("name", ALL)
def test_every_cost_is_said_and_can_be_computed(name: str) -> None:
    assert all(declarations()[name].costs), "an operator without a cost says so: OnlyMoves()"
    case = CASES[name](np.random.default_rng(0))
    op = Op(name, ("",) * len(case.input_values), ("",) * len(case.output_values), case.attrs, {})
    found = operator_cost(op, case.input_values, case.output_values, case.tensors)
    assert max(found) < 1 << 40, "an unknown name in an expression makes the cost the largest number"


def test_no_other_file_lists_operators() -> None:
    """Three operators named in one list, set or table of a file outside the homes are a list of operators."""
    listing = re.compile(r"""(["'])(\w+)\1\s*[,:}\])]""")
    homes = {ROOT / "cpp" / "ops", ROOT / "src" / "bitvit" / "program" / "operators"}
    found = {}
    for path in [*(ROOT / "cpp").rglob("*.[ch]*"), *(ROOT / "src" / "bitvit").rglob("*.py")]:
        if path.parent in homes or path.suffix in {".so", ".inl"}:
            continue
        for statement in re.findall(r"[\[{(][^\[\]{}()]*[\]})]", path.read_text(encoding="utf-8")):
            names = {name for _, name in listing.findall(statement)} & set(ALL)
            if len(names) >= 3:
                found[str(path.relative_to(ROOT))] = sorted(names)
    assert found == {}
