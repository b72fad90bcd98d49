"""Claiming a run, so that several processes can share a study. A claim ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitvit.errors import OutputError

__all__ = ["claim"]


@contextmanager
def claim(path: Path, wait: bool = False) -> Iterator[bool]:
    """Lock a file for as long as the context is open, and tell whether that succeeded.

    Args:
        wait: wait for a process that holds the lock, instead of answering False.

    Raises:
        OutputError: if the lock file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)
