"""Equal content gives equal bytes, and failures leave nothing behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import safetensors

from bitvit.errors import OutputError
from bitvit.files import write_atomically
from bitvit.program import MetadataError, NonFiniteError, read_file, to_bytes, write_file
from tests.support.random_programs import random_program
from tests.support.tiny_file import tiny_file


def raiser(error: BaseException) -> Any:
    def fail(*_args: object, **_kwargs: object) -> NoReturn:
        raise error

    return fail


def test_equal_content_gives_equal_bytes() -> None:
    file, other = tiny_file(), tiny_file()
    other.tensors = dict(reversed(other.tensors.items()))
    other.program.values = dict(reversed(other.program.values.items()))
    assert to_bytes(file) == to_bytes(other)
    assert to_bytes(random_program(3)) == to_bytes(random_program(3))


def test_tensors_are_aligned_for_their_type() -> None:
    data = to_bytes(random_program(1))
    start = 8 + int.from_bytes(data[:8], "little")
    assert start % 8 == 0
    assert sum(len(entry["data"]) for _, entry in safetensors.deserialize(data)) == len(data) - start  # type: ignore[no-untyped-call]


def test_views_and_fortran_order_are_written_by_value() -> None:
    file = tiny_file()
    plain = to_bytes(file)
    file.tensors["patch.scale"] = np.asfortranarray(file.tensors["patch.scale"])
    file.tensors["head.bias"] = np.repeat(file.tensors["head.bias"], 2)[::2]
    assert to_bytes(file) == plain


def test_invalid_content_is_not_written(tmp_path: Path) -> None:
    file = tiny_file()
    file.tensors["head.bias"][0] = np.inf
    with pytest.raises(NonFiniteError):
        write_file(tmp_path / "net.bitvit", file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [{"a": float("nan")}, {"a": object()}, {"a": np.float32(1)}, {"a": "\ud800"}])
def test_provenance_must_be_json(content: Any, tmp_path: Path) -> None:
    file = tiny_file()
    file.provenance = content
    with pytest.raises(MetadataError):
        write_file(tmp_path / "net.bitvit", file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failures_leave_the_old_file_and_nothing_else(
    call: str, error: BaseException, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.bitvit"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, raiser(error))
        with pytest.raises(raised):
            write_file(path, tiny_file())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.bitvit"]


def test_a_really_full_device_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    signal = pytest.importorskip("signal")
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old_limit[1]))
        with pytest.raises(OutputError, match="too large"):
            write_atomically(tmp_path / "big", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_folder_in_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_file(tmp_path / "absent" / "net.bitvit", tiny_file())
    with pytest.raises(OutputError, match="not a regular file"):
        write_file(tmp_path, tiny_file())
    assert list(tmp_path.iterdir()) == []


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated, because tests may run as the superuser, who may write anywhere.
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", raiser(PermissionError(errno.EACCES, "Permission denied")))
        with pytest.raises(OutputError, match="Permission denied"):
            write_file(tmp_path / "net.bitvit", tiny_file())
    assert list(tmp_path.iterdir()) == []


def test_devices_are_not_replaced() -> None:
    if not Path("/dev/null").is_char_device():
        pytest.skip("needs a POSIX system")
    with pytest.raises(OutputError, match="not a regular file"):
        write_file("/dev/null", tiny_file())
    assert Path("/dev/null").is_char_device()


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.bitvit"
    link.symlink_to(tmp_path / "real" / "net.bitvit")
    write_file(link, tiny_file())
    assert link.is_symlink()
    assert read_file(tmp_path / "real" / "net.bitvit").labels == tiny_file().labels
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(OutputError):
        write_file(link, tiny_file())


def test_ordinary_permissions(tmp_path: Path) -> None:
    write_file(tmp_path / "net.bitvit", tiny_file())
    (tmp_path / "plain").touch()
    assert (tmp_path / "net.bitvit").stat().st_mode == (tmp_path / "plain").stat().st_mode
