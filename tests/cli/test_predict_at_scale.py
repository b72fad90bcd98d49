"""`bitvit predict` on many images: formats as they come, standard input, resuming, errors on the way."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitvit as package
from bitvit.cli import prediction_images, prediction_progress
from bitvit.cli.prediction_progress import PredictionProgress, describe_rate
from bitvit.errors import UsageError
from bitvit.program import BitvitFile, write_file
from bitvit.runtime import Predictor
from bitvit.runtime.ahead import map_ahead
from bitvit.runtime.errors import OutputValueError
from tests.support.command import Command
from tests.support.tiny_file import tiny_file

RANDOM = np.random.default_rng(11)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images, one of them bad, in two folders."""
    root = tmp_path / "images"
    (root / "deeper").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "c.png", "deeper/d.png", "deeper/e.webp", "f.png"):
        Image.fromarray(RANDOM.integers(0, 256, (20, 20, 3), np.uint8)).save(root / name)
    (root / "broken.png").write_text("no image")
    return root


def given_on_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def names(records: list[dict[str, object]]) -> list[str]:
    return [Path(str(record["image"])).name for record in records]


ALL = ["a.png", "b.jpg", "broken.png", "c.png", "d.png", "e.webp", "f.png"]


def test_json_lines(bitvit: Command, packed_file: Path, folder: Path) -> None:
    result = bitvit("predict", packed_file, folder, "--format", "jsonl", "--top", 2, "--logits")
    assert result.code == 2
    assert result.err.count("error: ") == 1 and "broken.png" in result.err
    records = [json.loads(line) for line in result.out.splitlines()]
    assert names(records) == ALL
    assert [name for record, name in zip(records, ALL, strict=True) if "error" in record] == ["broken.png"]
    expected = package.load(packed_file).predict(folder / "a.png", top_k=2)
    assert np.array_equal(np.array(records[0]["logits"], np.float32), expected.logits)
    assert [(item["label"], item["probability"]) for item in records[0]["predictions"]] == list(expected.top)
    short = bitvit("predict", packed_file, folder / "a.png", "--format", "jsonl")
    assert "logits" not in json.loads(short.out)


def test_csv(bitvit: Command, packed_file: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "a.png").rename(folder / 'a, "x"\n.png')
    out = tmp_path / "out.csv"
    result = bitvit("predict", packed_file, folder, "--out", out, "--top", 3)
    assert (result.code, result.out) == (2, "")
    rows = list(csv.reader(io.StringIO(out.read_text(), newline="")))
    columns = [f"{what}_{rank}" for rank in (1, 2, 3) for what in ("class", "probability")]
    assert rows[0] == ["image", *columns, "error"]
    assert sorted(Path(row[0]).name for row in rows[1:]) == sorted(['a, "x"\n.png', *ALL[1:]])
    bad = next(row for row in rows if row[0].endswith("broken.png"))
    assert bad[1:7] == [""] * 6 and "not an image" in bad[7]
    assert all(0 < float(row[2]) <= 1 for row in rows[1:] if row is not bad)
    assert list(tmp_path.glob("*.partial")) == []


def test_document_and_table_into_files(bitvit: Command, packed_file: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").unlink()
    document = tmp_path / "out.json"
    assert bitvit("predict", packed_file, folder, "--out", document).code == 0
    on_screen = bitvit("predict", packed_file, folder, "--json")
    assert document.read_text() == on_screen.out
    assert len(on_screen.json["images"]) == 6
    table = tmp_path / "table.txt"
    assert bitvit("predict", packed_file, folder, "--out", table).out == ""
    assert all(name in table.read_text() for name in ALL if name != "broken.png")
    bitvit("predict", packed_file, folder, "--out", tmp_path / "out.xyz").assert_one_error_line("--format")
    bitvit("predict", packed_file, folder, "--out", tmp_path / "no" / "out.csv").assert_one_error_line("no such folder")
    bitvit("predict", packed_file, folder, "--json", "--format", "csv").assert_one_error_line("choose one")
    bitvit("predict", packed_file, folder, "--resume").assert_one_error_line("--resume needs --out")


def test_nothing_is_asked_for_but_empty_folders(
    bitvit: Command, packed_file: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    result = bitvit("predict", packed_file, tmp_path / "empty", folder / "a.png", "--json")
    assert result.code == 2
    assert result.err.count("\n") == 1 and "no images in this folder (1 hidden)" in result.err
    assert names(result.json["images"]) == ["a.png"]


def test_hidden_and_other_files_are_left_out_and_counted(bitvit: Command, packed_file: Path, folder: Path) -> None:
    for name in ("._a.png", "Thumbs.db", "x.svg", "notes.txt"):
        (folder / name).write_text("x")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "a.png").write_bytes((folder / "a.png").read_bytes())
    result = bitvit("predict", packed_file, folder, "--json")
    assert names(result.json["images"]) == [name for name in ALL if name != "broken.png"]
    assert "left out 1 .svg (convert them to PNG); 1 that are not images (.txt); 3 hidden" in result.err


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_paths_on_standard_input(
    bitvit: Command, packed_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, separator: bytes
) -> None:
    paths = [folder / "c.png", folder / "missing.png", folder / "deeper", folder / "a.png"]
    given_on_standard_input(monkeypatch, separator.join(os.fsencode(path) for path in paths))
    result = bitvit("predict", packed_file, folder / "f.png", "-", "--format", "jsonl")
    assert result.code == 2
    records = [json.loads(line) for line in result.out.splitlines()]
    assert names(records) == ["f.png", "c.png", "missing.png", "d.png", "e.webp", "a.png"]
    assert result.err.count("error: ") == 1 and "missing.png: no such file" in result.err


def test_a_long_list_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prediction_images, "_CHUNK", 7)
    given_on_standard_input(monkeypatch, b"".join(b"name %d.png\n" % number for number in range(100)))
    images = prediction_images.ImagesToPredict(["-"])
    assert images.total is None
    assert [str(image) for image in images] == [f"name {number}.png" for number in range(100)]


@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "ppm", "webp"])
def test_an_image_on_standard_input(
    bitvit: Command, packed_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    stream = io.BytesIO()
    with Image.open(folder / "a.png") as image:
        image.save(stream, suffix)
    given_on_standard_input(monkeypatch, stream.getvalue())
    result = bitvit("predict", packed_file, "-", "--json", "--logits")
    assert (result.code, result.err) == (0, "")
    (found,) = result.json["images"]
    stream.seek(0)
    assert found["image"] == "-"
    assert np.array_equal(np.array(found["logits"], np.float32), package.load(packed_file).predict(stream).logits)


def test_useless_standard_input(bitvit: Command, packed_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_on_standard_input(monkeypatch, b"")
    assert (
        bitvit("predict", packed_file, "-").err
        == "error: standard input is empty: expected an image, or a list of paths\n"
    )
    given_on_standard_input(monkeypatch, b"\x00\x01\x02garbage\x03")
    result = bitvit("predict", packed_file, "-")
    assert result.code == 2
    assert result.err.count("\n") == 1 and "error: -: not an image" in result.err
    for blank in (b"\n", b"\n\n", b"\r\n", b"\n" * 40):
        given_on_standard_input(monkeypatch, blank)
        bitvit("predict", packed_file, "-").assert_one_error_line("standard input has no paths")


def test_a_list_that_was_written_on_windows(
    bitvit: Command, packed_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_on_standard_input(monkeypatch, b"\xef\xbb\xbf" + f"{folder / 'a.png'}\r\n{folder / 'c.png'}\r\n".encode())
    result = bitvit("predict", packed_file, "-", "--format", "jsonl")
    assert (result.code, len(result.out.splitlines())) == (0, 2)


def test_one_class_needs_no_column_of_others(bitvit: Command, packed_file: Path, photo: Path) -> None:
    assert "next" not in bitvit("predict", packed_file, photo, "--top", 1).out
    assert "next" in bitvit("predict", packed_file, photo, "--top", 2).out


def test_a_finished_file_of_someone_else_is_left_alone(
    bitvit: Command, packed_file: Path, photo: Path, tmp_path: Path
) -> None:
    for name, content in (("o.csv", "image,price\na.png,3\n"), ("o.jsonl", "[1, 2]\nno json\n")):
        (tmp_path / name).write_text(content)
        assert bitvit("predict", packed_file, photo, "--out", tmp_path / name, "--resume").code == 0
        assert (tmp_path / name).read_text() == content


class _Stopped(KeyboardInterrupt):
    pass


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("after", [0, 1, 4, 6])
def test_an_interrupted_command_is_resumed(
    bitvit: Command,
    packed_file: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    after: int,
) -> None:
    command = ("predict", packed_file, folder, "--batch", 2)
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    assert bitvit(*command, "--out", whole).code == 2
    stream = Predictor.stream

    def stopped(self: Predictor, *arguments: object, **options: object) -> Iterator[object]:
        for number, answer in enumerate(stream(self, *arguments, **options)):  # type: ignore[arg-type]
            if number == after:
                raise KeyboardInterrupt
            yield answer

    monkeypatch.setattr(Predictor, "stream", stopped)
    interrupted = bitvit(*command, "--out", out)
    assert interrupted.code == 130
    assert f"interrupted after {after} images" in interrupted.err and "--resume" in interrupted.err
    assert not out.exists()
    (partial,) = tmp_path.glob(f"out.{suffix}.*.partial")
    with partial.open("ab") as file:
        file.write(b'{"image": "half a li')  # of a process that was killed while writing
    seen: list[object] = []

    def counted(self: Predictor, images: object, **options: object) -> Iterator[object]:
        for answer in stream(self, images, **options):  # type: ignore[arg-type]
            seen.append(answer)
            yield answer

    monkeypatch.setattr(Predictor, "stream", counted)
    resumed = bitvit(*command, "--out", out, "--resume")
    # The code is that of the whole work, whichever part met the image that cannot be read.
    assert resumed.code == 2
    assert "1 of the images" in resumed.err or "broken.png" in resumed.err
    assert len(seen) == len(ALL) - after
    assert out.read_text() == whole.read_text()
    assert list(tmp_path.glob("*.partial")) == []
    again = bitvit(*command, "--out", out, "--resume")
    assert again.code == 2 and "is complete" in again.err and "1 of the images" in again.err


@pytest.mark.parametrize(("name", "goes_on"), [("out.csv", True), ("out.jsonl", True), ("out.json", False)])
def test_a_full_disk_is_named_with_the_file(
    bitvit: Command,
    packed_file: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    goes_on: bool,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = bitvit("predict", packed_file, photo, "--out", tmp_path / name)
    result.assert_one_error_line(f"cannot write {tmp_path / name}: No space left on device")
    assert ("--resume goes on" in result.err) == goes_on == bool(list(tmp_path.glob("*.partial")))
    assert not (tmp_path / name).exists()


def test_only_the_same_command_is_resumed(
    bitvit: Command, packed_file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Predictor, *arguments: object, **options: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "stream", stopped)
        assert bitvit("predict", packed_file, folder, "--out", tmp_path / "o.csv", "--top", 2).code == 130
    assert bitvit("predict", packed_file, folder, "--out", tmp_path / "o.csv", "--top", 3, "--resume").code == 2
    assert (tmp_path / "o.csv").read_text().splitlines()[0].count("class_") == 3


def infinite_file() -> BitvitFile:
    file = tiny_file()
    file.tensors["head.scale"] = np.full(3, 3e38, np.float32)  # finite, as the format demands; its products are not
    return file


@pytest.mark.parametrize("options", [(), ("--json",), ("--format", "jsonl"), ("--format", "csv", "--logits")])
def test_outputs_that_are_not_finite_are_one_line(
    bitvit: Command, folder: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = tmp_path / "infinite.bitvit"
    write_file(path, infinite_file())
    (folder / "broken.png").unlink()
    result = bitvit("predict", path, folder, *options)
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "error: the network's output is not finite" in result.err
    if options != ("--format", "csv", "--logits"):  # CSV has its heading by then
        assert result.out == ""
    predictor = package.load(path)
    for images in (folder / "a.png", [folder / "a.png", folder / "b.jpg"]):
        with pytest.raises(OutputValueError, match="not finite"):
            predictor.predict(images)  # type: ignore[call-overload]
    (tmp_path / "labelled" / "cat").mkdir(parents=True)
    (folder / "a.png").rename(tmp_path / "labelled" / "cat" / "a.png")
    bitvit("eval", path, "--data", tmp_path / "labelled").assert_one_error_line("not finite")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_devices_are_named_by_every_command(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.bitvit"
    os.mkfifo(pipe)
    for command in (
        ("predict", pipe, tmp_path), ("info", pipe), ("eval", pipe), ("export", pipe, tmp_path / "out.bitvit"),
        ("complexity", pipe), ("bench", pipe), ("inspect", pipe), ("eval", packed_file, "--data", pipe),
        ("import", pipe, "--family", "gsb", "--out", tmp_path / "x.safetensors"),
        ("train", "--recipe", pipe, "--out", tmp_path / "run"), ("train", "--teacher", pipe, "--out", tmp_path / "run"),
        ("train", "--out", tmp_path / "run", f"model.weights={pipe}"), ("info", "/dev/zero"),
    ):  # fmt: skip
        bitvit(*command).assert_one_error_line("this is a ")
    result = bitvit("predict", packed_file, pipe, "/dev/zero", tmp_path)
    assert result.code == 2
    assert "this is a pipe, expected an image" in result.err and "this is a device" in result.err
    with pytest.raises(Exception, match="not a regular file"):
        package.load(pipe)


def test_deep_images_are_doubted_and_can_be_told(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    values = RANDOM.integers(0, 4096, (20, 20)).astype(np.uint16)
    for number in range(5):
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    doubted = bitvit("predict", packed_file, tmp_path, "--json")
    assert doubted.code == 0
    assert doubted.err.count("nearly black") == 3 and "the same applies to 2 more" in doubted.err
    told = bitvit("predict", packed_file, tmp_path, "--bit-depth", 12, "--json", "--logits")
    assert told.err == ""
    eight = ((values.astype(int) * 510 + 4095) // 8190).astype(np.uint8)
    expected = package.load(packed_file).predict(eight)
    assert np.array_equal(np.array(told.json["images"][0]["logits"], np.float32), expected.logits)


def test_decoding_is_only_so_far_ahead() -> None:
    started: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(10_000):
            started.append(number)
            yield number

    results = map_ahead(lambda number: number * number, numbers(), ahead=8, workers=2)
    assert [next(results) for _ in range(20)] == [number * number for number in range(20)]
    assert len(started) <= 20 + 8 + 2
    results.close()  # type: ignore[attr-defined]
    assert len(started) <= 20 + 8 + 2


def test_an_error_ahead_is_raised_in_its_turn() -> None:
    def fail(number: int) -> int:
        if number == 3:
            raise UsageError("three")
        return number

    results = map_ahead(fail, range(100), ahead=10, workers=3)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UsageError, match="three"):
        next(results)


def test_an_endless_stream_has_answers(packed_file: Path, folder: Path) -> None:
    def endless() -> Iterator[Path]:
        while True:
            yield folder / "a.png"

    answers = package.load(packed_file).stream(endless(), batch_size=3)
    found = [next(answers) for _ in range(10)]
    assert len({answer.prediction.label for answer in found if answer.prediction is not None}) == 1
    assert all(answer.error is None for answer in found)


def test_progress_says_rate_and_rest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert describe_rate(400, 1000, 4.0, 200) == "600 of 1,000 images, 100.0 images/s, 4 s left"
    assert describe_rate(12_000, None, 60.0) == "12,000 images, 200.0 images/s"
    assert describe_rate(10, 100_000, 10.0).endswith("27.8 h left")
    assert describe_rate(0, 10, 0.0) == "0 of 10 images, 0.0 images/s"
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(prediction_progress.time, "monotonic", lambda: float(next(now)))
    with PredictionProgress(1000, already=0, at_least=1) as progress:
        for done in range(1, 8):
            progress.update(done)
    assert capsys.readouterr().err.splitlines() == [
        "3 of 1,000 images, 0.1 images/s, 2.8 h left", "6 of 1,000 images, 0.1 images/s, 2.8 h left",
    ]  # fmt: skip
