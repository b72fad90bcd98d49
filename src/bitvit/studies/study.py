"""A study as one typed value: which runs are made and how their results are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from bitvit.studies.errors import StudyError
from bitvit.training.errors import RecipeError
from bitvit.training.recipe import Recipe
from bitvit.training.recipe_fingerprint import changed_fields
from bitvit.training.recipe_parsing import apply_overrides

__all__ = ["SMOKE_SUFFIX", "Axis", "Row", "Study"]

_NAME = re.compile(r"[\w.+]+(-[\w.+]+)*")

SMOKE_SUFFIX = "-smoke"
"""What the name of a study ends with in its form for a quick check."""

# What a quick check of a task trains on: few images that need no download.
_SMOKE: dict[str, dict[str, Any]] = {
    "classification": {"data.name": "digits", "data.samples_per_class": 8, "data.val_fraction": 0.1},
    "segmentation": {"data.name": "scenes/digits/32"},
}
_SMOKE_FOR_ALL = {"calibration.images": 16, "least_steps": 0}


@dataclass(frozen=True)
class Row:
    """One row of the table: a method.

    Attributes:
        name: short and unique; names run folders.
        label: what the table and the figure call it; by default the name.
        recipe: the recipe that it starts from, where that is not the study's.
        columns: what the table's own columns say about it.
        overrides: what it changes in the recipe, `section.key: value`.
        paper: top-1 accuracy that the paper reports for it, in percent.
    """

    name: str
    label: str | None = None
    recipe: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    paper: float | None = None

    @property
    def title(self) -> str:
        """What tables and figures call it."""
        return self.label or self.name


@dataclass(frozen=True)
class Axis:
    """Something that is varied for every row; two axes make a grid.

    Attributes:
        name: its short name, such as `k_a`.
        key: the recipe's key that takes the values.
        values: the values of that key, or names of `overrides`.
        overrides: where one value changes several keys, these by name of the value.
        stretch: times as many epochs in every phase, by name of the value; so runs on fewer images make equally many
            steps.
        label: what the figure writes along the axis; by default the name.
    """

    name: str
    values: tuple[Any, ...]
    key: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    stretch: dict[str, Any] = field(default_factory=dict)
    label: str | None = None

    @property
    def title(self) -> str:
        """What tables and figures call it."""
        return self.label or self.name

    def changes(self, value: Any) -> dict[str, Any]:
        """Return the overrides that stand for one value."""
        if self.key is not None:
            return {self.key: value}
        changes: dict[str, Any] = self.overrides[str(value)]
        return changes


@dataclass(frozen=True)
class Study:
    """A set of runs: rows times axes times seeds, each a recipe changed by overrides.

    Attributes:
        name: from the file's name.
        title: headline of table and figure.
        reproduces: the table or claim of the paper that it repeats.
        recipe: the recipe that all runs start from.
        overrides: what the study changes in it for all rows.
        teacher: what it changes in the recipe's `teacher` section. The runs that learn from a teacher share one for
            each seed, trained once on the same images.
        rows: the variants that are compared.
        axes: overrides that vary independently; each combination of their values is run with each row.
        compare: pairs of row names, whose difference is reported: the first minus the second.
        claims: two row names and a sentence which says that the first is better; the report says of each whether it
            holds (`bitvit.studies.summary.Verdict`).
        paper: the paper's top-1 accuracy in percent at points of a grid, by `name=value, name=value`.
        note: a sentence below the table.
        seeds: number of seeds, 0 to seeds - 1.
        smoke: further overrides for a quick check that everything works, which takes one epoch of few images.
        final: overrides that win over those of rows and axes, such as those of the command line.
        max_epochs: cut every phase to this number of epochs.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    reproduces: str | None = None
    recipe: str = "study-binary"
    overrides: dict[str, Any] = field(default_factory=dict)
    teacher: dict[str, Any] = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    compare: tuple[tuple[str, str], ...] = ()
    claims: tuple[tuple[str, str, str], ...] = ()
    paper: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    seeds: int = 3
    smoke: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    max_epochs: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def n_lines(self) -> int:
        """Number of lines of the table: rows times points of the axes."""
        return len(self.rows) * math.prod(len(axis.values) for axis in self.axes)

    def to_yaml(self) -> str:
        """Return everything as YAML, which `parse_study` reads back."""
        text: str = yaml.safe_dump(changed_fields(self), sort_keys=False, allow_unicode=True, width=120)
        return text

    def smoked(self) -> Study:
        """Return the study for a quick check: its smoke overrides win, and every phase takes one epoch."""
        small = _SMOKE_FOR_ALL | _SMOKE[Recipe.load(self.recipe, self.overrides).task.name]
        return replace(
            self, name=f"{self.name}{SMOKE_SUFFIX}", final={**self.final, **small, **self.smoke}, max_epochs=1
        )

    def overridden(self, overrides: Sequence[str]) -> Study:
        """Return the study with `section.key=value` for every run.

        Raises:
            StudyError: if one is malformed.
        """
        changes: dict[str, Any] = {}
        for override in overrides:
            try:
                value: Any = apply_overrides({}, [override])
            except RecipeError as error:
                raise StudyError(str(error)) from None
            key = override.partition("=")[0].strip()
            for part in key.split("."):
                value = value[part]
            changes[key] = value
        return replace(self, final={**self.final, **changes})


def _check(study: Study) -> None:
    if not study.rows:
        raise StudyError("rows: there must be at least one")
    if study.seeds < 1:
        raise StudyError("seeds: must be at least 1")
    if study.max_epochs is not None and study.max_epochs < 1:
        raise StudyError("max_epochs: must be at least 1")
    if len(study.axes) > 2:
        raise StudyError("axes: there must be at most two")
    for kind, names in (("rows", [row.name for row in study.rows]), ("axes", [axis.name for axis in study.axes])):
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise StudyError(f"{kind}: two are called '{repeated}'")
        wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
        if wrong is not None:
            raise StudyError(f"{kind}: '{wrong}' is not a valid name: use letters, digits, _ . + and single -")
    for i, axis in enumerate(study.axes):
        _check_axis(axis, f"axes[{i}].")
    known = {row.name for row in study.rows}
    for key, pairs in (("compare", study.compare), ("claims", [claim[:2] for claim in study.claims])):
        for name in (name for pair in pairs for name in pair):
            if name not in known:
                raise StudyError(f"{key}: there is no row '{name}'")


def _check_axis(axis: Axis, prefix: str) -> None:
    if not axis.values:
        raise StudyError(f"{prefix}values: there must be at least one")
    if any(isinstance(value, (dict, list)) for value in axis.values):
        raise StudyError(
            f"{prefix}values: must be plain values; give names to sets of overrides with {prefix}overrides"
        )
    if (axis.key is None) == (not axis.overrides):
        raise StudyError(f"{prefix}key: give either the key that takes the values, or overrides for each of them")
    names = [str(value) for value in axis.values]
    missing = [name for name in names if axis.key is None and not isinstance(axis.overrides.get(name), dict)]
    if missing:
        raise StudyError(f"{prefix}overrides: must have a mapping of overrides for '{missing[0]}'")
    for name, factor in axis.stretch.items():
        if name not in names or isinstance(factor, bool) or not isinstance(factor, (int, float)) or factor <= 0:
            raise StudyError(f"{prefix}stretch: '{name}: {factor}' does not map one of the values to a number above 0")
