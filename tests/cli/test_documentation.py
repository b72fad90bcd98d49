"""What the documentation tells users to type is accepted, and what it links to exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bitvit.cli import build_parser
from bitvit.cli.entry import COMMANDS
from bitvit.training import Recipe, packaged_recipes

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    joined = [block.replace("\\\n", " ") for block in blocks]
    lines = [line.strip() for block in joined for line in block.splitlines()]
    return [line for line in lines if line.startswith("bitvit ")]


def test_there_are_commands_to_check() -> None:
    names = {line.split()[1] for page in PAGES for line in _commands(page)}
    assert names >= {"train", "eval", "export", "predict", "bench", "complexity"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_parse(page: Path) -> None:
    for line in _commands(page):
        words = shlex.split(line, comments=True)[1:]
        arguments = build_parser().parse_args(words)
        assert arguments.command == words[0]
        if arguments.command == "train" and not arguments.resume:
            Recipe.load("gsb-demo", arguments.overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_has_its_row() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert [name for name in COMMANDS if f"| `{name}` |" not in text] == []


def test_example_recipe_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(block)
    recipe = Recipe.load(tmp_path / "mine.yaml")
    assert recipe.model.name == "gsb_deit_tiny_patch16_224"


def test_every_packaged_recipe_is_described() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    assert [name for name in packaged_recipes() if f"`{name}`" not in text] == []
