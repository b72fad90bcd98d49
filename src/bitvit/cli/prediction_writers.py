"""Answers written as they come: a table, one JSON document, JSON lines, CSV; to standard output or a file."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from bitvit.cli.output import print_table, table
from bitvit.errors import BitvitError, OutputError, UsageError

if TYPE_CHECKING:
    from bitvit.runtime import Prediction
    from bitvit.runtime.segmentation import Segmentation

__all__ = ["FORMATS", "PartialFile", "Writer", "format_of", "make_writer"]

FORMATS = ("table", "json", "jsonl", "csv")
_SUFFIXES = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "table"}
_ROWS_OF_A_TABLE = 256


def format_of(given: str | None, as_json: bool, out: str) -> str:
    """Return the format to write: the one asked for, or that of the file's suffix.

    Raises:
        UsageError: two are asked for, or the suffix says none.
    """
    if as_json:
        if given not in (None, "json"):
            raise UsageError(f"--json and --format {given} contradict each other: choose one")
        return "json"
    if given is not None:
        return given
    if out == "-":
        return "table"
    suffix = Path(out).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(f"--out {out}: choose a --format, or name it .csv, .jsonl or .json")
    return _SUFFIXES[suffix]


class PartialFile:
    """A file that is written under another name, line by line, and gets its own name when it is complete.

    The other name says what it belongs to, so that only the same command goes on with it.
    """

    def __init__(self, path: Path, digest: str, lines: bool) -> None:
        self.path = path
        self._partial = path.with_name(f"{path.name}.{digest}.partial")
        self._lines = lines
        if path.is_dir():
            raise OutputError(f"{path}: this is a folder; name the file to write")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path.absolute().parent}: no such folder to write into")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path}: exists and is not a regular file")

    @property
    def is_finished(self) -> bool:
        """Whether the whole file is there."""
        return self.path.is_file() and not self._partial.is_file()

    @property
    def is_continued(self) -> bool:
        """Whether an interrupted command can go on with it."""
        return self._lines

    def open(self, resume: bool) -> TextIO:
        """Return the stream to write to: empty, or behind the last whole line."""
        # What is not UTF-8 in a file name is written as the bytes that it is.
        if not (resume and self._lines and self._partial.is_file()):
            return open(self._partial, "w", encoding="utf-8", errors="surrogateescape", newline="")
        with open(self._partial, "r+b") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
        return open(self._partial, "a", encoding="utf-8", errors="surrogateescape", newline="")

    def written(self) -> str:
        """Return what an interrupted command has written, or the whole file."""
        path = self._partial if self._partial.is_file() else self.path
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()

    def finish(self, stream: TextIO) -> None:
        """Give the file its name."""
        stream.flush()
        os.fsync(stream.fileno())
        stream.close()
        os.replace(self._partial, self.path)

    def give_up(self, stream: TextIO) -> None:
        """Leave what can be continued, and remove what cannot."""
        with suppress(OSError):
            stream.close()
        if not self._lines:
            with suppress(OSError):
                self._partial.unlink()


class Writer(ABC):
    """Writes one answer after the other; used as a context, which finishes the output or gives it up."""

    def __init__(self, target: PartialFile | None, top: int, logits: bool) -> None:
        self._target = target
        self._top = top
        self._logits = logits
        self._stream: TextIO = sys.stdout
        self.failed_before = 0
        """How many images an interrupted command could not read."""

    def __enter__(self) -> Writer:
        return self

    def resume(self, goes_on: bool) -> Counter[str]:
        """Open the output, and return the images that are in it already."""
        if self._target is None:
            return Counter()
        self._stream = self._target.open(goes_on)
        if not goes_on:
            return Counter()
        try:
            answers = self._answers(self._target.written())
            self.failed_before = sum(failed for _, failed in answers)
            return Counter(name for name, _ in answers)
        except (ValueError, KeyError, csv.Error):
            raise OutputError(
                f"{self._target.path}: the part written earlier is damaged: start without --resume"
            ) from None

    def _answers(self, text: str) -> list[tuple[str, bool]]:
        """Return the images in what was written, and whether they could not be read."""
        raise UsageError("only JSON lines and CSV can be continued")

    def failed_in(self, text: str) -> int:
        """Return how many images in a complete file could not be read; none if it is not a file of this command."""
        try:
            return sum(failed for _, failed in self._answers(text))
        except (ValueError, KeyError, TypeError, IndexError, csv.Error):
            return 0

    @abstractmethod
    def write(self, name: str, prediction: Prediction | Segmentation | None, error: BitvitError | None) -> None:
        """Write the answer for one image, or why there is none."""

    def interrupted(self, written: int) -> str:
        """Return the message for a user who stops the command after `written` images."""
        if self._target is None or not self._target.is_continued:
            return f"interrupted after {written} images"
        return f"interrupted after {written} images; the same command with --resume goes on"

    def _finish(self) -> None:  # noqa: B027  (most formats have nothing left to write)
        """Write what is left."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        target = self._target
        if kind is None:
            try:
                self._finish()
                if target is not None:
                    target.finish(self._stream)
                return
            except OSError as failure:
                if target is None:
                    raise
                error = failure
        if target is None:
            self._break_off()
            return
        target.give_up(self._stream)
        if isinstance(error, OSError) and (kind is None or error.filename is None):
            goes_on = "; the same command with --resume goes on" if target.is_continued else ""
            raise OutputError(f"cannot write {target.path}: {error.strerror}{goes_on}") from None

    def _break_off(self) -> None:  # noqa: B027
        """Complete what has begun on standard output, after an error."""

    def _json(self, name: str, prediction: Prediction | Segmentation) -> str:
        """Return the answer as a JSON object, without logits if they are not asked for."""
        record: dict[str, Any] = {"image": name, **prediction.to_json()}
        text = json.dumps(record, allow_nan=False)
        if not (self._logits and hasattr(prediction, "logits")):
            return text
        # Nine digits tell every float32 from its neighbours; Python's own seventeen take twice as long to write.
        logits = ", ".join([f"{value:.9g}" for value in prediction.logits.tolist()])
        return f'{text[:-1]}, "logits": [{logits}]}}'


class _TableWriter(Writer):
    """Tables of some hundred rows each; the widths of columns need the rows."""

    def __init__(self, target: PartialFile | None, top: int, logits: bool) -> None:
        super().__init__(target, top, logits)
        self._rows: list[list[str]] = []
        self._share = "probability"

    def write(self, name: str, prediction: Prediction | Segmentation | None, error: BitvitError | None) -> None:
        if prediction is None:
            return
        self._share = "probability" if hasattr(prediction, "probability") else "share"
        (best, share), *others = prediction.top[: self._top]
        rest = ", ".join(f"{label} {probability:.1%}" for label, probability in others)
        self._rows.append([name, best, f"{share:.1%}", rest])
        if len(self._rows) >= _ROWS_OF_A_TABLE:
            self._print()

    def _print(self) -> None:
        if self._rows:
            columns = ["image", "class", self._share, *(["next"] if self._top > 1 else [])]
            rows = table("", columns, [row[: len(columns)] for row in self._rows], numeric_from=4)
            print_table(rows, file=self._stream)
            self._rows = []

    def _finish(self) -> None:
        self._print()

    _break_off = _print


class _JsonWriter(Writer):
    """One document; it begins with the first answer, so that an error before it leaves standard output empty."""

    def __init__(self, target: PartialFile | None, top: int, logits: bool, file: Path) -> None:
        super().__init__(target, top, logits)
        self._file = file
        self._separator = ""

    def write(self, name: str, prediction: Prediction | Segmentation | None, error: BitvitError | None) -> None:
        if prediction is None:
            return
        self._begin()
        self._stream.write(f"{self._separator}\n  {self._json(name, prediction)}")
        self._separator = ","

    def _begin(self) -> None:
        if not self._separator:
            self._stream.write(f'{{"file": {json.dumps(str(self._file))},\n "images": [')

    def _finish(self) -> None:
        self._begin()
        self._stream.write("]}\n")

    def _break_off(self) -> None:
        if self._separator:
            self._finish()


class _JsonLinesWriter(Writer):
    """One JSON object per line; an image that cannot be read has an `error`."""

    def write(self, name: str, prediction: Prediction | Segmentation | None, error: BitvitError | None) -> None:
        text = (
            self._json(name, prediction)
            if prediction is not None
            else json.dumps({"image": name, "error": str(error)}, allow_nan=False)
        )
        self._stream.write(text + "\n")
        self._stream.flush()

    def _answers(self, text: str) -> list[tuple[str, bool]]:
        records = [json.loads(line) for line in text.split("\n") if line]
        return [(str(record["image"]), "error" in record) for record in records]


class _CsvWriter(Writer):
    """A line for each image: the best classes with their probabilities, or the error."""

    def resume(self, goes_on: bool) -> Counter[str]:
        done = super().resume(goes_on)
        if self._target is None or self._stream.tell() == 0:
            columns = [f"{what}_{rank}" for rank in range(1, self._top + 1) for what in ("class", "probability")]
            self._write_row(["image", *columns, "error"])
        return done

    def write(self, name: str, prediction: Prediction | Segmentation | None, error: BitvitError | None) -> None:
        cells: list[object] = []
        for label, probability in prediction.top[: self._top] if prediction is not None else ():
            cells += [label, f"{probability:.6g}"]
        cells += [""] * (2 * self._top - len(cells))
        self._write_row([name, *cells, "" if error is None else str(error)])
        self._stream.flush()

    def _write_row(self, cells: list[object] | list[str]) -> None:
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._stream.write(line.getvalue())

    def _answers(self, text: str) -> list[tuple[str, bool]]:
        rows = list(csv.reader(io.StringIO(text, newline="")))
        if rows and rows[0][-1] != "error":
            raise ValueError("not a file of predictions")
        return [(row[0], bool(row[-1])) for row in rows[1:]]


def make_writer(kind: str, target: PartialFile | None, file: Path, top: int, *, logits: bool) -> Writer:
    """Return the writer of a format.

    Args:
        kind: one of `FORMATS`.
        target: the file to write; None: standard output.
        file: the network's, which a JSON document names.
        top: classes for an image.
        logits: whether JSON has them.
    """
    if kind == "json":
        return _JsonWriter(target, top, logits, file)
    if kind == "jsonl":
        return _JsonLinesWriter(target, top, logits)
    return _CsvWriter(target, top, logits) if kind == "csv" else _TableWriter(target, top, logits)
