"""WebDataset shards give the images, classes and splits that a folder would give; what is damaged is one line."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitvit.data import DataError, build_data, build_evaluation, check_data, files_digest
from bitvit.data.shards import ShardSource, load_shards
from bitvit.errors import ImageError
from bitvit.program import Preprocessing
from tests.support.shards import write_shards

PREPROCESSING = Preprocessing((16, 16), 16)


def png(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 18, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def folder_of(place: Path, counts: dict[str, int]) -> Path:
    for split, count in counts.items():
        for number, name in enumerate(("class 9", "class 10", "äpfel")):
            (place / split / name).mkdir(parents=True)
            for i in range(count):
                (place / split / name / f"{i}.png").write_bytes(png(100 * number + i))
    return place


@pytest.mark.parametrize("names", ["numbers", "names", "json"])
def test_shards_are_the_folder_that_they_were_made_of(tmp_path: Path, names: str) -> None:
    folder = folder_of(tmp_path / "folder", {"train": 5, "val": 2})
    shards = write_shards(folder, tmp_path / "shards", per_shard=4, classes=names)
    assert len(list(shards.glob("*.tar"))) == 6
    one, two = (check_data(build_data(str(place))) for place in (folder, shards))
    assert two.labels == one.labels == ("class 9", "class 10", "äpfel")
    for a, b in ((one.train, two.train), (one.val, two.val)):
        assert len(a) == len(b)
        for position in range(len(a)):
            assert (a.pixels(position, PREPROCESSING) == b.pixels(position, PREPROCESSING)).all()
            assert a.target(position) == b.target(position)
    judged = build_evaluation(str(shards), labels=("äpfel", "class 10", "class 9", "other"))
    assert judged.part == "val" and judged.images.class_counts().tolist() == [2, 2, 2, 0]


@pytest.mark.parametrize(
    ("files", "train", "val"),
    [
        (("train-000000.tar", "train-000001.tar", "val-000000.tar"), 2, 1),
        (("imagenet1k-train-0000.tar", "imagenet1k-train-0001.tar", "imagenet1k-validation-00.tar"), 2, 1),
        (("train/000000.tar", "train/000001.tar", "test/000000.tar"), 2, 1),
        (("a-0.tar", "a-1.tar", "a-2.tar"), 3, None),
    ],
)
def test_names_say_what_is_held_out(tmp_path: Path, files: tuple[str, ...], train: int, val: int | None) -> None:
    for number, name in enumerate(files):
        tar(tmp_path / name, {"x/0.png": png(number), "x/0.cls": b"0\n", "x/1.PNG": png(), "x/1.cls": b"1"})
    found = load_shards(tmp_path)
    assert found.train is not None and len(found.train) == 2 * train
    assert (None if found.val is None else len(found.val)) == (None if val is None else 2 * val)
    assert found.train.labels == ("0", "1")
    assert found.train.describe(1).endswith(".tar/x/1.PNG")
    assert (found.notes != []) == (files[-1] == "test/000000.tar")


def test_keys_may_have_more_parts_and_samples_may_lack_an_image(tmp_path: Path) -> None:
    members = {"a.b/0.seg.png": png(1), "a.b/0.png": png(2), "a.b/0.cls": b"1", "t.txt": b"x", "t.cls": b"0"}
    tar(
        tmp_path / "0.tar",
        {**members, "._hidden.png": b"", "._hidden.cls": b"0", "u.jpg": png(), "u.json": b'{"label": 0}'},
    )
    found = load_shards(tmp_path)
    assert found.train is not None
    assert [found.train.describe(i) for i in range(2)] == ["0.tar/a.b/0.png", "0.tar/u.jpg"]
    assert found.train.targets.tolist() == [1, 0]
    assert any("1 samples of the shards have no image" in note for note in found.notes)


def test_processes_and_threads_may_share_a_source(tmp_path: Path) -> None:
    import pickle

    tar(tmp_path / "0.tar", {"0.png": png(), "0.cls": b"0"})
    found = load_shards(tmp_path)
    assert found.train is not None
    source = pickle.loads(pickle.dumps(found.train.source))
    assert isinstance(source, ShardSource)
    assert source.read(0).getvalue() == png()
    (tmp_path / "0.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:600])
    with pytest.raises(ImageError, match="ends within"):
        source.read(0)
    (tmp_path / "0.tar").unlink()
    with pytest.raises(ImageError, match=r"0\.tar: cannot be read"):
        source.read(0)


def test_digest_follows_the_shards(tmp_path: Path) -> None:
    tar(tmp_path / "a" / "0.tar", {"0.png": png(), "0.cls": b"0"})
    tar(tmp_path / "b" / "0.tar", {"0.png": png() * 1000, "0.cls": b"0"})
    assert files_digest(tmp_path / "a") != files_digest(tmp_path / "b")


GOOD: dict[str, bytes] = {"0.png": png(), "0.cls": b"0", "1.png": png(1), "1.cls": b"1"}


@pytest.mark.parametrize(
    ("members", "names", "message"),
    [
        ({**GOOD, "2.png": png()}, None, "0.tar/2.png: has no class: expected 2.cls"),
        ({**GOOD, "0.jpg": png()}, None, "0.jpg: a second image of one sample"),
        ({**GOOD, "2.png": png(), "2.json": json.dumps({"label": [1]}).encode()}, None, "2.json: the class must be"),
        ({**GOOD, "2.png": png(), "2.json": b"["}, None, "2.json: is neither a number nor text"),
        ({**GOOD, "2.png": png(), "2.cls": b"\xff"}, None, "2.cls: is neither a number nor text"),
        ({**GOOD, "2.png": png(), "2.cls": b""}, None, "2.cls: the class must be"),
        ({**GOOD, "2.png": png(), "2.cls": b"0" * 100_000}, None, "2.cls: has 100000 bytes"),
        ({**GOOD, "2.png": png(), "2.cls": b"123456789"}, None, "the largest class is 123456789"),
        (GOOD, "cat\n", "classes.txt: has 1 classes, and not '1'"),
        (GOOD, "cat\ncat\n", "none of them twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path: Path, members: dict[str, bytes], names: Any, message: str) -> None:
    tar(tmp_path / "0.tar", members)
    if names is not None:
        (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(DataError) as caught:
        build_data(str(tmp_path))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_shards_that_cannot_be_read(tmp_path: Path) -> None:
    whole = tar(tmp_path / "0.tar", GOOD).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:700])
    with pytest.raises(DataError, match=r"0\.tar: .*damaged"):
        build_data(str(tmp_path))
    (tmp_path / "0.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(DataError, match=r"0\.tar: is no tar file"):
        build_data(str(tmp_path))
    (tmp_path / "0.tar").rename(tmp_path / "0.tar.gz")
    with pytest.raises(DataError, match="unpack it to a plain"):
        build_data(str(tmp_path))
    (tmp_path / "0.tar.gz").unlink()
    tar(tmp_path / "train-0.tar", GOOD)
    tar(tmp_path / "rest.tar", GOOD)
    with pytest.raises(DataError, match=r"rest\.tar: the names of other shards say"):
        build_data(str(tmp_path))
