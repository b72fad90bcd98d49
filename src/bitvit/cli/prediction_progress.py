"""How far `bitvit predict` is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bitvit.cli.output import console, print_note

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["PredictionProgress", "describe_rate"]

_SECONDS_BETWEEN_LINES = 30.0


def describe_rate(done: int, total: int | None, seconds: float, already: int = 0) -> str:
    """Return `12,000 of 100,000 images, 85.0 images/s, 17 min left`."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{done + already:,}{f' of {total:,}' if total is not None else ''} images, {rate:.1f} images/s"
    if total is None or not rate:
        return text
    left = (total - already - done) / rate
    return f"{text}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class PredictionProgress:
    """Shows on standard error how many images are done, how many a second, and how long the rest will take."""

    def __init__(self, total: int | None, already: int, at_least: int) -> None:
        self._total = total
        self._already = already
        self._is_short = total is not None and total - already < at_least
        self._bar: Progress | None = None
        self._task: Any = None
        self._start = self._last = time.monotonic()

    def __enter__(self) -> PredictionProgress:
        out = console(stderr=True)
        if out.is_terminal and not self._is_short:
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(), TextColumn("{task.description}", markup=False), console=out, transient=True
            )
            self._task = self._bar.add_task("", total=self._total, completed=self._already)
            self._bar.start()
        return self

    def update(self, done: int) -> None:
        """Say that `done` images of this command are finished."""
        now = time.monotonic()
        if self._bar is not None:
            text = describe_rate(done, self._total, now - self._start, self._already)
            self._bar.update(self._task, completed=done + self._already, description=text)
        elif now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            print_note(describe_rate(done, self._total, now - self._start, self._already))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
