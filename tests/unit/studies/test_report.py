"""Averages, tables and figures, from invented results."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.studies import Study, parse_study, plan_study, prepare_folder, results_of
from bitvit.studies.report import summary_dict, write_report
from bitvit.studies.summary import Spread, summarize
from bitvit.studies.table import markdown_report, table_cells
from tests.support.tiny_study import record_of

METHODS = """
title: Methods
reproduces: a table
rows:
  - {name: fp, label: full | precision, columns: {W-A: 32-32}, paper: 70.5}
  - {name: gsb, columns: {W-A: 1-1, taught: true}}
compare: [[gsb, fp]]
note: Measured once.
"""
SWEEP = """
title: Sweep
rows: [{name: fp}, {name: gsb, overrides: {stage2.epochs: 3}}]
axes: [{name: noise, key: data.label_noise, values: [0.0, 0.2, 0.4], label: share of wrong labels}]
"""
GRID = """
title: Grid
rows: [{name: gsb}]
axes:
  - {name: k_a, key: model.scheme.components_attention, values: [0, 1, 2]}
  - {name: k_v, key: model.scheme.components_value, values: [0, 1]}
paper: {'k_a=1, k_v=0': 42.34}
"""


def study_of(text: str) -> Study:
    return parse_study(text, "mine")


def records(study: Study, accuracies: dict[tuple[str, int], float]) -> list[dict[str, object]]:
    runs = {(run.name, run.seed): run for run in plan_study(study, range(5))}
    return [record_of(runs[key], top1=top1) for key, top1 in accuracies.items()]


def test_spread_is_mean_and_standard_error() -> None:
    spread = Spread.of([1.0, None, 2.0, 6.0])
    assert spread == Spread(3.0, pytest.approx(math.sqrt(7) / math.sqrt(3)), 3)
    assert Spread.of([4.0]) == Spread(4.0, None, 1)
    assert Spread.of([None]) is None


def test_differences_are_paired_by_seed() -> None:
    study = study_of(METHODS)
    found = records(study, {("fp", 0): 0.5, ("fp", 1): 0.7, ("gsb", 1): 0.75, ("gsb", 0): 0.56, ("gsb", 2): 0.9})
    (gap,) = summarize(study, found).differences
    assert (gap.first.name, gap.second.name) == ("gsb", "fp")
    assert gap.spread.mean == pytest.approx(5.5) and gap.spread.error == pytest.approx(0.5)
    assert gap.spread.count == 2


def test_results_of_other_recipes_are_left_out_and_more_seeds_are_taken_in() -> None:
    study = study_of(METHODS)
    found = records(study, {("gsb", 0): 0.5, ("gsb", 4): 0.7})
    stale = [record_of(run) for run in plan_study(study.overridden(["batch_size=2"]), [0])]
    summary = summarize(study, [*stale, *found])
    assert [[record["seed"] for record in line.records] for line in summary.lines] == [[], [0, 4]]


def test_markdown_has_all_that_a_reader_needs() -> None:
    study = study_of(METHODS)
    found = records(study, {("fp", 0): 0.5, ("gsb", 0): 0.6, ("gsb", 1): 0.7})
    found[0] |= {"packed_top1": None, "agreement": None, "teacher": {"digest": "1", "model": "deit", "top1": 0.8}}
    found[1] |= {"taken_from": "others/gsb"}
    text = markdown_report(summarize(study, found), "bitvit study mine", "figure.png")
    assert "# Methods\n" in text and "Reproduces: a table." in text and "Measured once." in text
    assert "| full \\| precision | 32-32 |  | 50.00 | 70.50 |  |  |" in text
    assert "| gsb | 1-1 | ✓ | 65.00 ± 5.00 |  | 50.00 ± 0.00 | 100.00 |" in text
    assert "| gsb - full \\| precision | 10.00 | 1 |" in text
    assert "Teacher (deit, full precision, the same images): top-1 80.00 %." in text
    assert "Hardware: Abacus, 1 thread (bitvit 0.1.0). Date: 2026-01-02." in text
    assert "3 runs (1 of them made for others), 3 minutes of training in all. 12 training and 6 test images." in text
    assert "`bitvit study mine`" in text


def test_teachers_of_different_points_are_told_apart() -> None:
    study = study_of(SWEEP)
    found = records(study, {("gsb-noise_0.0", 0): 0.6, ("gsb-noise_0.0", 1): 0.7, ("gsb-noise_0.4", 0): 0.5})
    for i, (record, top1, images) in enumerate(zip(found, (0.8, 0.9, 0.6), (10, 10, 200), strict=True)):
        record |= {"teacher": {"digest": str(i), "model": "deit", "top1": top1}, "train_images": images}
    text = markdown_report(summarize(study, found), "bitvit study mine", "figure.png")
    expected = "top-1 85.00 ± 5.00 % (share of wrong labels 0.0), 60.00 % (share of wrong labels 0.4)."
    assert f"Teacher (deit, full precision, the same images): {expected}" in text
    assert "10 or 200 training and 6 test images." in text


def test_teachers_of_more_images_are_told_apart() -> None:
    study = study_of(METHODS)
    found = records(study, {("gsb", 0): 0.6, ("gsb", 1): 0.7})
    found[0]["teacher"] = {"digest": "1", "model": "deit", "top1": 0.8}
    found[1]["teacher"] = {"digest": "2", "model": "deit", "top1": 0.9, "images": 60_000}
    text = markdown_report(summarize(study, found), "bitvit study mine", "figure.png")
    assert "Teacher (deit, full precision, the same images): top-1 80.00 %." in text
    assert "Teacher (deit, full precision, 60,000 images): top-1 90.00 %." in text


def test_table_without_any_result_shows_its_rows() -> None:
    header, rows = table_cells(summarize(study_of(METHODS), []))
    assert header == ["method", "W-A", "taught", "paper (%)", "seeds"]
    assert rows[1] == ["gsb", "1-1", "✓", "", "0"]


def test_grids_have_the_papers_values_at_their_points() -> None:
    lines = summarize(study_of(GRID), []).lines
    assert {line.name: line.paper for line in lines if line.paper is not None} == {"gsb-k_a_1-k_v_0": 42.34}


@pytest.mark.parametrize("text", [METHODS, SWEEP, GRID], ids=["bars", "lines", "map"])
@pytest.mark.parametrize("share", [0, 1, 2], ids=["no results", "some", "all"])
def test_reports_are_written_whatever_is_there(tmp_path: Path, text: str, share: int) -> None:
    study = study_of(text)
    prepare_folder(study, tmp_path)
    runs = plan_study(study, [0, 1])
    rng = np.random.default_rng(0)
    for run in runs[: share * len(runs) // 2]:
        results_of(tmp_path).append(record_of(run, top1=float(rng.uniform(0.3, 0.8))))
    summary = write_report(study, tmp_path, "bitvit study mine")
    assert (tmp_path / "table.md").read_text().startswith(f"# {study.title}\n")
    table = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert [float(line["top1"]) for line in table] == pytest.approx([r["top1"] for r in summary.records], rel=1e-5)
    with Image.open(tmp_path / "figure.png") as figure:
        assert min(figure.size) > 200 and len(np.unique(np.asarray(figure.convert("L")))) > 2
    document = summary_dict(summary)
    assert len(document["lines"]) == study.n_lines
    assert sum(len(line["seeds"]) for line in document["lines"]) == len(summary.records)


def test_figures_draw_the_means(tmp_path: Path) -> None:
    """A grid with one bright cell: the picture must differ from that of another bright cell."""
    study = study_of(GRID)
    pictures = []
    for bright in (0, 3):
        folder = tmp_path / str(bright)
        prepare_folder(study, folder)
        for i, run in enumerate(plan_study(study, [0])):
            results_of(folder).append(record_of(run, top1=0.9 if i == bright else 0.1))
        write_report(study, folder, "")
        pictures.append((folder / "figure.png").read_bytes())
    assert pictures[0] != pictures[1]
