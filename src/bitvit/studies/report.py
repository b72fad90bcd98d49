"""A study's report: table, CSV and figure in its folder, from the results that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitvit.files import write_atomically
from bitvit.studies.figures import draw_figure
from bitvit.studies.runner import results_of
from bitvit.studies.study import Study
from bitvit.studies.summary import Line, Summary, summarize
from bitvit.studies.table import csv_table, markdown_report

__all__ = ["seeds_in", "summary_dict", "write_report"]

TABLE_FILE, CSV_FILE, FIGURE_FILE = "table.md", "table.csv", "figure.png"


def write_report(study: Study, folder: Path, command: str) -> Summary:
    """Write `table.md`, `table.csv` and `figure.png`, and return what they show.

    Args:
        study: whose results they are.
        folder: where these lie, and where the files are written.
        command: what repeats the runs, for the table's footer.

    Raises:
        StudyError: the results cannot be read.
        OutputError: a file cannot be written.
    """
    summary = summarize(study, results_of(folder).read())
    draw_figure(summary, folder / FIGURE_FILE)
    write_atomically(folder / CSV_FILE, csv_table(summary).encode())
    write_atomically(folder / TABLE_FILE, markdown_report(summary, command, FIGURE_FILE).encode())
    return summary


def seeds_in(folder: Path, study: Study) -> int:
    """Return for how many seeds, from 0 on, a folder has results of a study as it is now."""
    records = summarize(study, results_of(folder).read()).records
    return 1 + max((record["seed"] for record in records), default=-1)


def summary_dict(summary: Summary) -> dict[str, Any]:
    """Return a summary as plain values, for JSON."""
    return {
        "study": summary.study.name,
        "title": summary.study.title,
        "lines": [_line(line) for line in summary.lines],
        "differences": [
            {"first": gap.first.name, "second": gap.second.name, **vars(gap.spread)} for gap in summary.differences
        ],
    }


def _line(line: Line) -> dict[str, Any]:
    key = line.metric.key
    figures = [key, f"packed_{key}", "agreement", f"train_{key}", "train_loss", "bytes", "ops", "train_seconds"]
    spreads = {name: line.spread(name) for name in figures}
    return {
        "row": line.row.name,
        "label": line.row.title,
        "point": line.point,
        "seeds": [record["seed"] for record in line.records],
        "paper": line.paper,
        **{name: None if spread is None else vars(spread) for name, spread in spreads.items()},
    }
