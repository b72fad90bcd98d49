"""Several processes on one study. They share nothing but its folder."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path

from bitvit.studies.plan import plan_study
from bitvit.studies.reading import parse_study
from bitvit.studies.runner import Outcome, run_study
from bitvit.studies.study import Study

__all__ = ["run_in_jobs"]


def run_in_jobs(
    study: Study,
    folder: Path,
    jobs: int,
    *,
    only: Sequence[str] = (),
    reuse: Sequence[Path] = (),
    progress: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Make a study's missing runs in this process and `jobs - 1` others.

    Args:
        study: what is run.
        folder: the folder of its runs and results.
        jobs: number of processes.
        only: as in `plan_study`.
        reuse: as in `run_study`.
        progress: as in `run_study`; other processes are silent.
        note: as in `run_study`; other processes are silent.

    Raises:
        StudyInterrupted: the user stopped it; what is done is kept.
    """
    runs = plan_study(study, only=only)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_work, args=(study.to_yaml(), study.name, folder, list(only), list(reuse)))
        for _ in range(min(jobs, len(runs)) - 1)
    ]
    for process in others:
        process.start()
    try:
        outcome = run_study(runs, folder, reuse=reuse, progress=progress and not others, note=note)
        for process in others:
            process.join()
    except BaseException:
        for process in others:
            process.terminate()
        raise
    if others:  # what another process left, for whatever reason, is tried here, where its error is seen
        outcome = run_study(runs, folder, reuse=reuse, note=note)
    return outcome


def _work(text: str, name: str, folder: Path, only: list[str], reuse: list[Path]) -> None:
    with contextlib.suppress(KeyboardInterrupt):  # the first process says so
        run_study(plan_study(parse_study(text, name), only=only), folder, reuse=reuse)
