"""Files: written completely or not at all, and locked."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bitvit.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["hold_lock", "open_regular_file", "read_regular_file", "write_atomically"]


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file under a temporary name beside it, force it to disk, and rename it into place.

    Whatever happens on the way (full disk, Ctrl-C), an older file of that name stays as it was, and no temporary file
    stays behind.

    Raises:
        OutputError: the folder does not exist or is read-only, the disk is full, or the path is no regular file.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target = target.resolve()  # a link is followed, not replaced
        if target.exists() and not target.is_file():
            raise OutputError(f"cannot write {path}: it exists and is not a regular file")
        temporary = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of links; ValueError: a null character
        _remove(temporary)
        if isinstance(error, FileNotFoundError):
            raise OutputError(f"cannot write {path}: the folder {target.parent} does not exist") from None
        raise OutputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    except BaseException:
        _remove(temporary)
        raise


@contextlib.contextmanager
def open_regular_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading; never a pipe or a device, which could last for ever.

    Raises:
        OSError: it cannot be read, or it is no regular file.
    """
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a folder", os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        with open(descriptor, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(descriptor)


def read_regular_file(path: str | os.PathLike[str]) -> bytes:
    """Read all of a file; see `open_regular_file`.

    Raises:
        OSError: it cannot be read, or it is no regular file.
    """
    with open_regular_file(path) as stream:
        return stream.read()


def _remove(temporary: Path | None) -> None:
    if temporary is not None:
        with contextlib.suppress(OSError):  # the folder is gone or read-only: then nothing was written either
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:
            pass  # some file systems cannot sync a folder; the file is complete all the same
        finally:
            os.close(descriptor)


_held: set[Path] = set()
_held_changes = threading.Condition()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.clear)


@contextlib.contextmanager
def hold_lock(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a lock for as long as the context is open, and tell whether that succeeded.

    The lock excludes other processes and other holders in this one. It belongs to this process alone, not to its
    children, and ends with it, however that ends.

    Args:
        path: the lock file; it and its folder are made.
        wait: wait for whoever holds the lock, instead of answering False.

    Raises:
        OutputError: the lock file cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.parent.resolve() / path.name
    except OSError as error:
        raise OutputError(f"cannot write to {path.parent}: {error.strerror}") from None
    with _held_changes:
        while name in _held:
            if not wait:
                break
            _held_changes.wait()
        is_free = name not in _held
        if is_free:
            _held.add(name)
    if not is_free:
        yield False
        return
    try:
        with _record_lock(name, wait) as is_ours:
            yield is_ours
    finally:
        with _held_changes:
            _held.remove(name)
            _held_changes.notify_all()


@contextlib.contextmanager
def _record_lock(path: Path, wait: bool) -> Iterator[bool]:
    """Lock a file against other processes.

    It is a record lock, because a child that outlives a killed process would keep flock's. A record lock ends when the
    process closes any descriptor of the file: there must be no more than one.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    try:
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            else:
                fcntl.lockf(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield False
            return
        except OSError:
            pass  # a file system without locks: two runs in one folder are not noticed there
        yield True
    finally:
        os.close(descriptor)
