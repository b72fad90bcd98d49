"""`bitvit study`: a named set of training runs, with a table and figures at the end."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bitvit.cli.arguments import positive
from bitvit.cli.deferred_imports import add_import_argument, load_pytorch
from bitvit.cli.output import print_json, print_note, print_table, table
from bitvit.errors import UsageError

if TYPE_CHECKING:
    from bitvit.studies import Outcome, Study
    from bitvit.studies.summary import Summary

HELP = "repeat an experiment of the papers: a set of training runs, a table and figures"
EXAMPLES = (
    "bitvit study --list",
    "bitvit study table-iv",
    "bitvit study table-iv --seeds 1 --budget smoke",
    "bitvit study table-vi --only 'gsb-k_a_2*' stage2.epochs=40",
    "bitvit study label-noise --report-only",
)

DEFAULT_FOLDER = Path("runs/studies")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("study", nargs="?", metavar="NAME|YAML", help="a packaged study or a YAML file")
    parser.add_argument("--list", action="store_true", help="list the packaged studies and stop")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help=f"folder of the study (default {DEFAULT_FOLDER}/NAME)"
    )
    parser.add_argument("--seeds", type=positive, metavar="N", help="seeds 0 to N-1 (default: the study's)")
    parser.add_argument("--budget", choices=("full", "smoke"), default="full", help="smoke: one epoch on few images")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="ROW", help="only these rows; patterns such as 'gsb*' are allowed"
    )
    parser.add_argument("--jobs", type=positive, default=1, metavar="J", help="runs in parallel (default 1)")
    parser.add_argument(
        "--reuse", nargs="+", type=Path, default=[], metavar="FOLDER", help="reuse identical runs of other studies"
    )
    parser.add_argument(
        "--report-only", action="store_true", help="start no run; write table and figures of the finished ones"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="values for every run, such as stage2.epochs=40"
    )
    add_import_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the runs that are missing and write the report."""
    if arguments.list:
        return _list(arguments.json)
    if arguments.study is None or "=" in arguments.study:
        raise UsageError("give the name of a study or a YAML file; `bitvit study --list` lists the packaged ones")
    load_pytorch("lightning.pytorch")
    from bitvit.studies import (
        StudyError,
        StudyInterrupted,
        as_it_was_run,
        load_study,
        plan_study,
        prepare_folder,
        run_in_jobs,
    )
    from bitvit.studies.report import seeds_in, write_report

    # A list of rows takes the values after it along.
    only = [word for word in arguments.only if "=" not in word]
    overrides = [word for word in arguments.only if "=" in word] + arguments.overrides
    study = load_study(arguments.study)
    smokes = arguments.budget == "smoke"
    folder: Path = arguments.out or DEFAULT_FOLDER / (f"{study.name}-smoke" if smokes else study.name)
    if smokes:
        study = study.smoked()
    study = study.overridden(overrides)
    if arguments.seeds is not None:
        study = replace(study, seeds=arguments.seeds)
    outcome: Outcome | None = None
    if arguments.report_only:
        study = as_it_was_run(study, folder)

    def whole() -> Study:
        """Return the study with all seeds that its folder has, those of earlier commands included."""
        return replace(study, seeds=max(study.seeds, seeds_in(folder, study)))

    def report() -> Summary:
        shown = whole()
        return write_report(shown, folder, _command(arguments.study, shown, overrides if smokes else None))

    if not arguments.report_only:
        plan_study(study, only=only)
        prepare_folder(whole(), folder)
        try:
            outcome = run_in_jobs(
                study,
                folder,
                arguments.jobs,
                only=only,
                reuse=arguments.reuse,
                progress=sys.stderr.isatty(),
                note=print_note,
            )
        except StudyInterrupted:
            report()
            raise
    summary = report()
    _print(summary, folder, arguments.json)
    if outcome is not None and outcome.elsewhere:
        print_note(f"in progress in other processes: {'; '.join(outcome.elsewhere)}")
    if outcome is not None and outcome.failed:
        raise StudyError(f"{len(outcome.failed)} runs failed, the first: {outcome.failed[0]}")
    return 0


def _command(name: str, study: Study, smoke_overrides: list[str] | None) -> str:
    """Return the command that repeats all runs of a study, wherever its folder and whatever part was made today."""
    words = ["bitvit", "study", name, "--seeds", str(study.seeds)]
    if smoke_overrides is not None:
        words += ["--budget", "smoke", *smoke_overrides]
    else:
        words += [f"{key}={json.dumps(value)}" for key, value in study.final.items()]  # JSON is YAML
    return shlex.join(words)


def _print(summary: Summary, folder: Path, as_json: bool) -> None:
    from bitvit.studies.report import summary_dict
    from bitvit.studies.table import table_cells

    if as_json:
        print_json({"out": str(folder), **summary_dict(summary)})
        return
    header, rows = table_cells(summary)
    print_table(table(summary.study.title, header, rows))
    print_note(f"table.md, table.csv, figure.png and results.jsonl are in {folder}")


def _list(as_json: bool) -> int:
    from bitvit.studies import load_study, packaged_studies

    studies = [load_study(name) for name in packaged_studies()]
    if as_json:
        print_json([{"name": s.name, "title": s.title, "reproduces": s.reproduces, "seeds": s.seeds} for s in studies])
        return 0
    rows = [[s.name, s.title, s.reproduces or "", str(s.n_lines), str(s.seeds)] for s in studies]
    print_table(table("", ["study", "about", "reproduces", "lines", "seeds"], rows, numeric_from=3))
    return 0
