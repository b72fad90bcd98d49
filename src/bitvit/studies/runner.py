"""All runs of a study, in one process or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitvit.errors import BitvitError, OutputError
from bitvit.files import hold_lock, write_atomically
from bitvit.studies.errors import StudyInterrupted
from bitvit.studies.execute import StudyFolder, execute
from bitvit.studies.plan import PlannedRun
from bitvit.studies.reading import STUDY_FILE, check_owner
from bitvit.studies.results import RESULTS_FILE, ResultsFile, find_record
from bitvit.studies.study import Study
from bitvit.studies.summary import metrics_of

__all__ = ["Outcome", "prepare_folder", "results_of", "run_study"]


@dataclass(frozen=True)
class Outcome:
    """What became of a study's runs: how many this process made, which failed and why, which others are still at."""

    made: int
    failed: tuple[str, ...]
    elsewhere: tuple[str, ...]


def prepare_folder(study: Study, folder: Path) -> None:
    """Make a study's folder and leave the resolved study in it.

    Raises:
        OutputError: if it cannot be created or written.
        StudyError: if it belongs to another study.
    """
    check_owner(study, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from None
    write_atomically(folder / STUDY_FILE, study.to_yaml().encode())


def results_of(folder: Path) -> ResultsFile:
    """Return the file of a study's results."""
    return ResultsFile(folder / RESULTS_FILE)


def run_study(
    runs: Sequence[PlannedRun],
    folder: Path,
    *,
    reuse: Sequence[Path] = (),
    progress: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Make all runs that are neither done nor claimed by another process.

    Args:
        runs: from `plan_study`.
        folder: the folder of the runs and their results.
        reuse: folders of other studies; a run that one of them has already made is taken over from there.
        progress: show the progress of training on standard error.
        note: called with a line about every run.

    Raises:
        StudyInterrupted: the user stopped it; what is done is kept.
    """
    place = StudyFolder(folder, progress, note)
    results = results_of(folder)
    failed: dict[str, str] = {}
    made = 0
    try:
        while True:
            done = results.read()
            pending = [run for run in runs if find_record(done, run) is None and run.folder not in failed]
            worked = False
            for run in pending:
                with hold_lock(place.lock(run.folder)) as is_ours:
                    if not is_ours or results.find(run) is not None:
                        continue
                    worked = True
                    now = results.read()
                    n_done = sum(find_record(now, other) is not None for other in runs)
                    note(f"{n_done + 1} of {len(runs)}: {run.title}")
                    try:
                        record = _taken_over(run, reuse) or execute(run, place)
                    except Exception as error:  # one run must not cost the others, which may take hours
                        if os.environ.get("BITVIT_DEBUG", "") not in ("", "0"):
                            raise
                        reason = str(error) if isinstance(error, BitvitError) else f"{type(error).__name__}: {error}"
                        failed[run.folder] = f"{run.title}: {reason}"
                        note(f"  failed: {reason}")
                        continue
                    results.append(record)
                    made += 1
                    note(_summary(run, record))
            if not worked:
                return Outcome(made, tuple(failed.values()), tuple(run.title for run in pending))
    except KeyboardInterrupt:
        raise StudyInterrupted(
            f"interrupted; {made} runs were finished and are kept; run the same command to continue"
        ) from None


def _taken_over(run: PlannedRun, folders: Sequence[Path]) -> dict[str, object] | None:
    """Return the record of an equal run of another study under this run's name."""
    for folder in folders:
        for record in results_of(folder).read():
            if (record.get("seed"), record.get("digest")) == (run.seed, run.digest):
                origin = f"{folder.name}/{record['run']}"
                return {**record, "run": run.name, "row": run.row.name, "point": run.point, "taken_from": origin}
    return None


def _summary(run: PlannedRun, record: dict[str, object]) -> str:
    metric = metrics_of(run)[0]
    packed = record.get(f"packed_{metric.key}")
    parts = [f"{metric.title} {_percent(record[metric.key])}"]
    if packed is not None:
        parts.append(f"packed {_percent(packed)}")
    return f"  {', '.join(parts)}, {record['seconds']:.0f} s"


def _percent(share: object) -> str:
    return f"{100 * float(share):.2f} %" if isinstance(share, (int, float)) else ""
