"""SIGTERM (of `kill`, `docker stop` and batch systems) ends a command in an orderly way, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

__all__ = ["OrderlyEnd"]

EXIT_INTERRUPTED = 128 + int(signal.SIGINT)


class OrderlyEnd:
    """While it is entered, SIGTERM raises KeyboardInterrupt, so that no half-written file and no process stays behind.

    A handler that somebody else has set is kept, and nothing happens outside of the main thread.

    Attributes:
        exit_code: of a command that was interrupted: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self) -> None:
        self.exit_code = EXIT_INTERRUPTED
        self._is_set = False

    def __enter__(self) -> OrderlyEnd:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._interrupt)
            self._is_set = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the signal back: training has its own way of ending."""
        if self._is_set:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._is_set = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = 128 + number
        raise KeyboardInterrupt
