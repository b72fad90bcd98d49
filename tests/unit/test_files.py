"""Locks of files."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bitvit.errors import OutputError
from bitvit.files import hold_lock

HOLD = """
import fcntl, os, sys
fcntl.lockf(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_exclusive_and_ends_with_the_context(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "locks" / "run") as first:
        assert first
        with hold_lock(tmp_path / "locks" / "run") as second, hold_lock(tmp_path / "locks" / "other") as other:
            assert not second and other
        with hold_lock(tmp_path / "locks" / ".." / "locks" / "run") as by_another_name:
            assert not by_another_name
    with hold_lock(tmp_path / "locks" / "run") as third:
        assert third


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """The other process takes the lock as `hold_lock` does, but need not import bitvit for it."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with hold_lock(tmp_path / "run") as while_alive:
            assert not while_alive
        process.kill()
    with hold_lock(tmp_path / "run") as afterwards:
        assert afterwards


def test_an_attempt_that_failed_does_not_release_the_lock(tmp_path: Path) -> None:
    """Closing any descriptor of the file would end a record lock of the whole process."""
    path = tmp_path / "run"
    with hold_lock(path):
        with hold_lock(path) as again:
            assert not again
        taken = subprocess.run(
            [sys.executable, "-c", HOLD.replace("LOCK_EX", "LOCK_EX | fcntl.LOCK_NB"), str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert b"BlockingIOError" in taken.stderr


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with hold_lock(tmp_path / "run", wait=True) as is_ours:
            order.append(("second", is_ours))

    with hold_lock(tmp_path / "run"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append(("first", True))
    thread.join()
    assert order == [("first", True), ("second", True)]


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), hold_lock(tmp_path / "file" / "lock"):
        pass
