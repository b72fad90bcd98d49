"""Malformed files: each kind of defect has its own error, and every message names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from bitvit.program import (
    ChecksumError,
    LabelsError,
    MetadataError,
    NewerFormatError,
    NotABitvitFileError,
    OlderFormatError,
    OperatorAttributeError,
    PreprocessingError,
    ProgramError,
    SizeLimitError,
    TensorTypeError,
    TruncatedFileError,
    UnreadableFileError,
    ValueDefinitionError,
    read_bytes,
    read_file,
    to_bytes,
    write_file,
)
from tests.support.random_programs import random_program
from tests.support.sealed_file import edited, edited_json, parts, sealed
from tests.support.tiny_file import tiny_file


def test_round_trip_of_random_programs(tmp_path: Path) -> None:
    for seed in range(10):
        file = random_program(seed)
        write_file(tmp_path / "net.bitvit", file)
        again = read_file(tmp_path / "net.bitvit")
        assert again.program == file.program, seed
        assert again.preprocessing == file.preprocessing
        assert again.labels == file.labels
        assert again.provenance == file.provenance
        assert again.tensors.keys() == file.tensors.keys()
        for name, tensor in file.tensors.items():
            assert again.tensors[name].dtype == tensor.dtype
            np.testing.assert_array_equal(again.tensors[name], tensor)


def test_checksum_follows_the_format_page() -> None:
    metadata, tensors = parts(to_bytes(tiny_file()))
    read_bytes(sealed(metadata, tensors))
    assert metadata["checksum"] == parts(to_bytes(tiny_file()))[0]["checksum"]


def test_every_truncation_is_refused() -> None:
    data = to_bytes(tiny_file())
    for size in range(0, len(data), 7):
        with pytest.raises(TruncatedFileError):
            read_bytes(data[:size])
    with pytest.raises(TruncatedFileError):
        read_bytes(data[:-1])


def test_appended_bytes_are_refused() -> None:
    with pytest.raises(NotABitvitFileError):
        read_bytes(to_bytes(tiny_file()) + b"\0")


def test_flipped_bits_of_tensors_are_found() -> None:
    data = bytearray(to_bytes(tiny_file()))
    start = 8 + int.from_bytes(data[:8], "little")
    for place in range(start, len(data), 11):
        data[place] ^= 1 << place % 8
        with pytest.raises(ChecksumError):
            read_bytes(bytes(data))
        data[place] ^= 1 << place % 8
    read_bytes(bytes(data))


def test_flipped_bits_of_the_header_are_found() -> None:
    data = bytearray(to_bytes(tiny_file()))
    untouched = read_bytes(bytes(data))
    for place in range(8 + int.from_bytes(data[:8], "little")):
        data[place] ^= 1 << place % 8
        try:
            assert read_bytes(bytes(data)).program == untouched.program
            assert chr(data[place]).isspace(), place  # white space between the header's entries means nothing
        except ProgramError:
            pass
        data[place] ^= 1 << place % 8


DEFECTS: dict[str, tuple[type[ProgramError], Callable[[], bytes]]] = {
    "empty": (TruncatedFileError, lambda: b""),
    "text": (NotABitvitFileError, lambda: b"this is only some text, and no network at all"),
    "png": (NotABitvitFileError, lambda: b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "zip (a .pth)": (NotABitvitFileError, lambda: b"PK\x03\x04" + bytes(100)),
    "huge header": (NotABitvitFileError, lambda: (1 << 62).to_bytes(8, "little") + b"{}" + bytes(100)),
    "header is a list": (NotABitvitFileError, lambda: (8).to_bytes(8, "little") + b"[1,2,3] "),
    "header is no JSON": (NotABitvitFileError, lambda: (8).to_bytes(8, "little") + b"{'a': 1}"),
    "header is no UTF-8": (NotABitvitFileError, lambda: (8).to_bytes(8, "little") + b'{"a":"\xff\xfe"}'[:8]),
    "header nests without end": (
        NotABitvitFileError,
        lambda: (600_000).to_bytes(8, "little") + b'{"a":' + b"[" * 599_995,
    ),
    "other safetensors file": (NotABitvitFileError, lambda: safetensors.numpy.save({"w": np.zeros(3, np.float32)})),
    "other format": (NotABitvitFileError, lambda: edited(format="pt")),
    "newer version": (NewerFormatError, lambda: edited(format_version="3")),
    "older version": (OlderFormatError, lambda: edited(format_version="1")),
    "version with a leading zero": (MetadataError, lambda: edited(format_version="02")),
    "unknown task": (MetadataError, lambda: edited(task="detection")),
    "task is missing": (MetadataError, lambda: edited(task=None)),
    "colors for classification": (LabelsError, lambda: edited(colors=[[0, 0, 0]] * 3)),
    "colors beyond bytes": (LabelsError, lambda: edited(colors=[[0, 0, 256]] * 3)),
    "colors are text": (LabelsError, lambda: edited(colors=["#ffffff"] * 3)),
    "program followed by a null character": (MetadataError, lambda: edited(program="{}\0")),
    "program behind a byte order mark": (MetadataError, lambda: edited(program="\ufeff{}")),
    "attribute is null": (
        OperatorAttributeError,
        lambda: edited_json("program", lambda p: p["ops"][0].update(attrs={"patch": None})),
    ),
    "provenance of too many values": (SizeLimitError, lambda: edited(provenance={"a": [0] * 70_000})),
    "provenance nests too deep": (
        MetadataError,
        lambda: edited(provenance='{"a": ' + "[" * 40 + "]" * 40 + "}"),
    ),
    "two channels": (PreprocessingError, lambda: edited_json("preprocessing", lambda p: p.update(channels=2))),
    "channels of another image": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(channels=1, mean=[0.5], std=[0.5])),
    ),
    "unknown fit": (PreprocessingError, lambda: edited_json("preprocessing", lambda p: p.update(fit="pad"))),
    "resize far beyond the image": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(resize_size=8192)),
    ),
    "empty value range": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(value_range=[5, 5])),
    ),
    "value range beyond floats": (
        PreprocessingError,
        lambda: edited(preprocessing='{"value_range": [0, 1e999]}'),
    ),
    "much newer version": (NewerFormatError, lambda: edited(format_version="999999999", program=None, future="x")),
    "version is text": (MetadataError, lambda: edited(format_version="one")),
    "version is zero": (MetadataError, lambda: edited(format_version="0")),
    "version is missing": (MetadataError, lambda: edited(format_version=None)),
    "program is missing": (MetadataError, lambda: edited(program=None)),
    "unknown metadata": (MetadataError, lambda: edited(comment="hello")),
    "program is no JSON": (MetadataError, lambda: edited(program="{")),
    "program is a list": (MetadataError, lambda: edited(program=[])),
    "program with NaN": (MetadataError, lambda: edited(program='{"values": NaN}')),
    "program nests without end": (MetadataError, lambda: edited(program="[" * 200_000)),
    "program with a repeated key": (MetadataError, lambda: edited(provenance='{"a": 1, "a": 2}')),
    "program with an infinite number": (MetadataError, lambda: edited(provenance='{"a": 1e999}')),
    "half surrogate": (MetadataError, lambda: edited(labels='["a", "b", "\\ud800"]')),
    "number of 10000 digits": (MetadataError, lambda: edited(provenance='{"a": ' + "9" * 10_000 + "}")),
    "program lacks a field": (MetadataError, lambda: edited_json("program", lambda p: p.pop("ops"))),
    "program has a field more": (MetadataError, lambda: edited_json("program", lambda p: p.update(code="import os"))),
    "values are a list": (MetadataError, lambda: edited_json("program", lambda p: p.update(values=[]))),
    "shape is no list": (MetadataError, lambda: edited_json("program", lambda p: p["values"]["x"].update(shape=11))),
    "shape of floats": (MetadataError, lambda: edited_json("program", lambda p: p["values"]["x"].update(shape=[1.0]))),
    "shape of booleans": (
        MetadataError,
        lambda: edited_json("program", lambda p: p["values"]["x"].update(shape=[True])),
    ),
    "type is a number": (MetadataError, lambda: edited_json("program", lambda p: p["values"]["x"].update(type=1))),
    "op is text": (MetadataError, lambda: edited_json("program", lambda p: p["ops"].append("relu"))),
    "input names a number": (MetadataError, lambda: edited_json("program", lambda p: p["ops"][0].update({"in": [0]}))),
    "tensor is a number": (
        MetadataError,
        lambda: edited_json("program", lambda p: p["ops"][0]["tensors"].update(bias=1)),
    ),
    "attrs are a list": (MetadataError, lambda: edited_json("program", lambda p: p["ops"][0].update(attrs=[]))),
    "output is null": (MetadataError, lambda: edited_json("program", lambda p: p.update(output=None))),
    "too many operators": (
        SizeLimitError,
        lambda: edited_json("program", lambda p: p.update(ops=p["ops"][:1] * 70_000)),
    ),
    "provenance is a list": (MetadataError, lambda: edited(provenance=[1])),
    "labels are an object": (LabelsError, lambda: edited(labels={"0": "a"})),
    "labels are numbers": (LabelsError, lambda: edited(labels=[1, 2, 3])),
    "labels are few": (LabelsError, lambda: edited(labels=["a"])),
    "preprocessing is null": (PreprocessingError, lambda: edited(preprocessing="null")),
    "preprocessing lacks a field": (PreprocessingError, lambda: edited_json("preprocessing", lambda p: p.pop("mean"))),
    "mean of text": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(mean=["a", "b", "c"])),
    ),
    "mean beyond floats": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(mean=[10**400] * 3)),
    ),
    "image of a float size": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(image_size=[4.0, 4])),
    ),
    "image of three sizes": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(image_size=[4, 4, 4])),
    ),
    "resize beyond integers": (
        PreprocessingError,
        lambda: edited_json("preprocessing", lambda p: p.update(resize_size=10**300)),
    ),
}


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_defect_has_its_error(defect: str, tmp_path: Path) -> None:
    error, make = DEFECTS[defect]
    path = tmp_path / "spoilt.bitvit"
    path.write_bytes(make())
    with pytest.raises(ProgramError) as caught:
        read_file(path)
    message = str(caught.value)
    assert type(caught.value) is error, message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400


@pytest.mark.parametrize("n_axes", [5, 65])
def test_tensors_of_many_axes(n_axes: int) -> None:
    data = to_bytes(tiny_file())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["more"] = {"dtype": "U8", "shape": [1] * n_axes, "data_offsets": [len(data) - 8 - size] * 2}
    header["more"]["data_offsets"][1] += 1
    text = json.dumps(header).encode()
    with pytest.raises(SizeLimitError, match="axes"):
        read_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :] + b"\0")


def test_unaligned_tensors_are_read() -> None:
    """Other writers need not align: the header has any length, and tensors any order."""
    data = to_bytes(tiny_file())
    size = int.from_bytes(data[:8], "little")
    for n_spaces in range(1, 8):
        moved = (size + n_spaces).to_bytes(8, "little") + data[8 : 8 + size] + b" " * n_spaces + data[8 + size :]
        again = read_bytes(moved)
        for name, tensor in tiny_file().tensors.items():
            np.testing.assert_array_equal(again.tensors[name], tensor)
            assert not again.tensors[name].flags.writeable


@pytest.mark.parametrize("told", [0, 10])
def test_a_file_that_is_longer_than_its_size_says_is_read_to_its_end(
    told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "grows.bitvit"
    path.write_bytes(to_bytes(tiny_file()))
    real = os.fstat

    def smaller(descriptor: int) -> os.stat_result:
        fields = real(descriptor)[:10]
        return os.stat_result((*fields[:6], told, *fields[7:]))

    monkeypatch.setattr(os, "fstat", smaller)
    assert to_bytes(read_file(path)) == path.read_bytes()


def test_text_of_a_file_stays_on_one_line_of_a_message() -> None:
    def rename(program: Any) -> None:
        program["ops"][1]["in"] = ["\x1b[31mred\n\u2028\u0085" + "x" * 500]

    with pytest.raises(ValueDefinitionError) as caught:
        read_bytes(edited_json("program", rename))
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) < 250


@pytest.mark.parametrize("place", ["op", "a new attribute", "a new parameter", "attributes", "rules"])
def test_control_characters_of_operators_are_escaped(place: str) -> None:
    text = "\x1b[31m\u202e"
    messages = []
    for file in (tiny_file(), *(random_program(seed) for seed in range(8))):
        metadata, tensors = parts(to_bytes(file))
        for index in range(len(file.program.ops)):
            program = json.loads(metadata["program"])
            op = program["ops"][index]
            attrs, parameters = op.setdefault("attrs", {}), op.setdefault("tensors", {})
            if place == "op":
                op["op"] = text
            elif place == "a new attribute":
                attrs[text] = 1
            elif place == "a new parameter":
                parameters[text] = "head.bias"
            else:
                attrs.update(dict.fromkeys(attrs, text if place == "attributes" else [[text]]))
            try:
                read_bytes(sealed(metadata | {"program": json.dumps(program)}, tensors))
            except ProgramError as error:
                messages.append(str(error))
    assert len(messages) > 20
    assert [message for message in messages if not message.isprintable()] == []


def test_tensors_of_other_types() -> None:
    metadata, tensors = parts(to_bytes(tiny_file()))
    tensors["head.bias"] = tensors["head.bias"].astype(np.float64)
    with pytest.raises(TensorTypeError):
        read_bytes(sealed(metadata, tensors))


def test_empty_tensors() -> None:
    metadata, tensors = parts(to_bytes(tiny_file()))
    tensors["more"] = np.zeros((0, 5), np.float32)
    with pytest.raises(SizeLimitError):
        read_bytes(sealed(metadata, tensors))


def test_overlapping_tensors() -> None:
    data = to_bytes(tiny_file())
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["head.scale"]["data_offsets"] = header["head.bias"]["data_offsets"]
    text = json.dumps(header).encode()
    with pytest.raises(NotABitvitFileError):
        read_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="no such file"):
        read_file(tmp_path / "absent.bitvit")
    with pytest.raises(UnreadableFileError, match="folder"):
        read_file(tmp_path)
    with pytest.raises(UnreadableFileError):
        read_file(tmp_path / "a\0b.bitvit")
    with pytest.raises(UnreadableFileError):
        read_file(tmp_path / ("n" * 5000))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a POSIX system")
def test_endless_file() -> None:
    with pytest.raises(UnreadableFileError, match="regular"):
        read_file("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")
def test_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bitvit")
    with pytest.raises(UnreadableFileError, match="regular"):
        read_file(tmp_path / "pipe.bitvit")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")
def test_sparse_file_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "huge.bitvit"
    with path.open("wb") as stream:
        stream.truncate((1 << 32) + 1)
    with pytest.raises(SizeLimitError):
        read_file(path)
