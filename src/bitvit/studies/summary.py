"""Results averaged over seeds: one line of the table for each row and point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

from bitvit.studies.plan import PlannedRun, plan_study
from bitvit.studies.results import find_record
from bitvit.studies.study import Row, Study
from bitvit.tasks import Metric, task_named

__all__ = [
    "SMALLEST_DIFFERENCE",
    "Claim",
    "Difference",
    "Line",
    "Spread",
    "Summary",
    "Verdict",
    "metrics_of",
    "summarize",
    "verdict_of",
]

Verdict = Literal["holds", "does not hold", "cannot be told"]

SMALLEST_DIFFERENCE = 0.3
"""Points below which a difference does not matter."""

_FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Spread:
    """Mean and standard error of a figure over seeds; the error is None for a single one."""

    mean: float
    error: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread | None:
        """Return the spread of what is there, or None where nothing is."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        error = stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None
        return cls(fmean(known), error, len(known))


@dataclass(frozen=True)
class Line:
    """All results of one row at one point, in the order of their seeds, and the metrics of its task."""

    row: Row
    point: dict[str, Any]
    name: str
    paper: float | None
    metrics: tuple[Metric, ...]
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def metric(self) -> Metric:
        """By what runs are compared."""
        return self.metrics[0]

    def spread(self, key: str, factor: float = 1.0) -> Spread | None:
        """Return the spread of one figure of the records, times `factor`."""
        return Spread.of([None if (value := record.get(key)) is None else factor * value for record in self.records])


@dataclass(frozen=True)
class Difference:
    """The metric of one row minus another's at one point, in points, paired by seed."""

    first: Line
    second: Line
    spread: Spread


@dataclass(frozen=True)
class Claim:
    """A sentence that says that the first of two rows is better, and what the runs say of it."""

    text: str
    difference: Difference
    verdict: Verdict


def verdict_of(spread: Spread) -> Verdict:
    """Return what paired differences say of the claim that they are positive.

    It holds where the mean is more than two standard errors above 0. It does not hold where the mean is more than two
    below 0, or where the whole interval of two standard errors around it is within `SMALLEST_DIFFERENCE` points of 0:
    then it does not matter. Else, and with fewer than three seeds, it cannot be told.
    """
    if spread.error is None or spread.count < _FEWEST_SEEDS:
        return "cannot be told"
    reach = 2 * spread.error
    if spread.mean > reach:
        return "holds"
    if spread.mean < -reach or abs(spread.mean) + reach <= SMALLEST_DIFFERENCE:
        return "does not hold"
    return "cannot be told"


@dataclass(frozen=True)
class Summary:
    """A study's results.

    Attributes:
        study: what was asked for.
        lines: one for each row and point, those without results included.
        differences: those that the study asks for, as far as there are results.
        claims: the study's, with their verdicts, as far as there are results.
    """

    study: Study
    lines: list[Line]
    differences: list[Difference]
    claims: list[Claim] = field(default_factory=list)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All results."""
        return [record for line in self.lines for record in line.records]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the study's task."""
        return self.lines[0].metrics

    @property
    def metric(self) -> Metric:
        """The first of them, by which runs are compared."""
        return self.metrics[0]


def summarize(study: Study, records: Sequence[dict[str, Any]]) -> Summary:
    """Average the results that belong to a study as it is now; those of other recipes are left out."""
    known = list(records)
    seeds = sorted({*range(study.seeds), *(r["seed"] for r in known if isinstance(r["seed"], int) and r["seed"] >= 0)})
    lines: dict[str, Line] = {}
    for run in plan_study(study, seeds):
        line = lines.setdefault(run.name, Line(run.row, run.point, run.name, _paper(study, run), metrics_of(run)))
        record = find_record(known, run)
        if record is not None:
            line.records.append(record)
    found = list(lines.values())
    claims = [
        Claim(text, difference, verdict_of(difference.spread))
        for first, second, text in study.claims
        for difference in _differences([(first, second)], found)
    ]
    return Summary(study, found, _differences(study.compare, found), claims)


def metrics_of(run: PlannedRun) -> tuple[Metric, ...]:
    """Return the metrics of a run's task."""
    return task_named(run.recipe.task.name).metrics


def _paper(study: Study, run: PlannedRun) -> float | None:
    point = ", ".join(f"{name}={value}" for name, value in run.point.items())
    value = study.paper.get(point, run.row.paper)
    return None if value is None else float(value)


def _differences(pairs: Sequence[tuple[str, str]], lines: list[Line]) -> list[Difference]:
    found = []
    for first, second in pairs:
        for a in (line for line in lines if line.row.name == first):
            b = next(line for line in lines if line.row.name == second and line.point == a.point)
            key = a.metric.key
            others = {record["seed"]: record[key] for record in b.records}
            gaps = [100 * (r[key] - others[r["seed"]]) for r in a.records if r["seed"] in others]
            spread = Spread.of(gaps)
            if spread is not None:
                found.append(Difference(a, b, spread))
    return found
