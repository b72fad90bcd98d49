"""Studies: named, resumable sets of training runs that repeat a paper's experiments (`docs/studies.md`)."""

from __future__ import annotations

from bitvit.studies.errors import StudyError, StudyInterrupted
from bitvit.studies.jobs import run_in_jobs
from bitvit.studies.plan import PlannedRun, plan_study
from bitvit.studies.reading import as_it_was_run, load_study, packaged_studies, parse_study
from bitvit.studies.runner import Outcome, prepare_folder, results_of, run_study
from bitvit.studies.study import Axis, Row, Study

__all__ = [
    "Axis",
    "Outcome",
    "PlannedRun",
    "Row",
    "Study",
    "StudyError",
    "StudyInterrupted",
    "as_it_was_run",
    "load_study",
    "packaged_studies",
    "parse_study",
    "plan_study",
    "prepare_folder",
    "results_of",
    "run_in_jobs",
    "run_study",
]
