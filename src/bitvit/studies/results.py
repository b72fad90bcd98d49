"""Results of a study's runs: one JSON line each, added so that a crash can tear none but the last."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitvit.errors import OutputError
from bitvit.files import hold_lock, read_regular_file
from bitvit.studies.errors import StudyError
from bitvit.studies.plan import PlannedRun
from bitvit.tasks import task_named, task_names

__all__ = ["RESULTS_FILE", "ResultsFile", "find_record", "key_of"]

RESULTS_FILE = "results.jsonl"

_SCORES = frozenset(task_named(name).metrics[0].key for name in task_names())


@dataclass(frozen=True)
class ResultsFile:
    """The file `results.jsonl` of a study's folder; several processes may add to it at once."""

    path: Path

    def append(self, record: dict[str, Any]) -> None:
        """Add one line and force it to disk; a torn line of an earlier crash is closed first.

        Raises:
            OutputError: if it cannot be written.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            lock = self.path.parent / "locks" / self.path.name
            with self.path.open("a+b") as file, hold_lock(lock, wait=True):
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(size - 1)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from None

    def read(self) -> list[dict[str, Any]]:
        """Return all whole lines; without a file none.

        Raises:
            StudyError: if the file cannot be read.
        """
        try:
            lines = read_regular_file(self.path).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StudyError(f"{self.path}: cannot be read ({error.strerror})") from None
        return [record for record in map(_parse, lines) if record is not None]

    def find(self, run: PlannedRun) -> dict[str, Any] | None:
        """Return the record of a finished run, or None."""
        return find_record(self.read(), run)


def find_record(records: list[dict[str, Any]], run: PlannedRun) -> dict[str, Any] | None:
    """Return the record of a finished run among `records`, or None."""
    wanted = (run.name, run.seed, run.digest)
    return next((record for record in records if key_of(record) == wanted), None)


def key_of(record: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return what makes two runs the same: name, seed, and the fingerprint of the recipe."""
    return record.get("run"), record.get("seed"), record.get("digest")


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:  # torn, or not UTF-8 any more
        return None
    is_whole = (
        isinstance(record, dict)
        and None not in key_of(record)
        and any(isinstance(record.get(key), float) for key in _SCORES)
    )
    return record if is_whole else None
