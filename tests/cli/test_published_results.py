"""The studies under docs/results are complete, belong to the recipes of today, and their tables show their runs.

Whoever changes a recipe or a study makes its runs again: `bitvit study NAME --out docs/results/NAME`. Those under
docs/results/earlier were made by an earlier revision of training, and nothing takes them for today's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bitvit.studies import load_study, plan_study, results_of
from bitvit.studies.reading import as_it_was_run
from bitvit.studies.results import find_record
from tests.support.command import Command

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
pytestmark = pytest.mark.published
EARLIER = RESULTS / "earlier"
STUDIES = sorted(path.name for path in RESULTS.iterdir() if path.is_dir() and path != EARLIER)


def test_there_are_published_results() -> None:
    assert "table-iv-64" in STUDIES


@pytest.mark.parametrize("name", sorted(path.name for path in EARLIER.iterdir() if path.is_dir()))
def test_results_of_earlier_training_are_not_taken_for_todays(name: str) -> None:
    records = results_of(EARLIER / name).read()
    assert records
    assert [run.title for run in plan_study(load_study(name)) if find_record(records, run) is not None] == []


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_was_made_with_the_recipe_of_today(name: str) -> None:
    study = as_it_was_run(load_study(name), RESULTS / name)
    records = results_of(RESULTS / name).read()
    missing = [run.title for run in plan_study(study) if find_record(records, run) is None]
    assert missing == []


@pytest.mark.parametrize("name", STUDIES)
def test_the_tables_are_those_of_the_runs(bitvit: Command, name: str, tmp_path: Path) -> None:
    shutil.copytree(RESULTS / name, tmp_path / name)
    for made in ("table.md", "table.csv", "figure.png"):
        (tmp_path / name / made).unlink()
    assert bitvit("study", name, "--out", tmp_path / name, "--report-only").code == 0
    for made in ("table.md", "table.csv"):
        assert (tmp_path / name / made).read_text() == (RESULTS / name / made).read_text()
