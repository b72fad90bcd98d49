"""Bad `.bitvit` files: every command that reads one says what is wrong in one line."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Command

COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": ("{file}", "{photo}"),
    "info": ("{file}",),
    "complexity": ("{file}",),
    "bench": ("{file}",),
    "eval": ("{file}",),
}


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip_bit(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 4]) + data[-99:]


def _newer_version(data: bytes) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["format_version"] = "999"
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _text(data: bytes) -> bytes:
    return b"hello, this is no network\n" * 9


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": _truncate,
    "bit flipped": _flip_bit,
    "newer version": _newer_version,
    "text": _text,
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", COMMANDS)
def test_damaged_file(
    bitvit: Command, packed_file: Path, photo: Path, tmp_path: Path, command: str, damage: str
) -> None:
    file = tmp_path / "bad.bitvit"
    file.write_bytes(DAMAGE[damage](packed_file.read_bytes()))
    arguments = [argument.format(file=file, photo=photo) for argument in COMMANDS[command]]
    bitvit(command, *arguments).assert_one_error_line("bad.bitvit")


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_file_and_folder(bitvit: Command, photo: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "folder.bitvit"
    folder.mkdir()
    for file in (tmp_path / "nowhere.bitvit", folder):
        arguments = [argument.format(file=file, photo=photo) for argument in COMMANDS[command]]
        bitvit(command, *arguments).assert_one_error_line(file.name)


def test_a_checkpoint_is_no_packed_file(bitvit: Command, finished_run: Path, photo: Path) -> None:
    bitvit("predict", finished_run / "model.safetensors", photo).assert_one_error_line("model.safetensors")
    bitvit("info", finished_run).assert_one_error_line(finished_run.name)


@pytest.mark.parametrize(
    "words",
    [("predict", "", "x.png"), ("predict", "x.bitvit", ""), ("train", "--data", "", "--out", "o"), ("train", "--out=")],
    ids=" ".join,
)
def test_empty_arguments_are_no_folders(bitvit: Command, words: tuple[str, ...]) -> None:
    bitvit(*words).assert_one_error_line("an argument is empty", "shell variable unset")
