"""All images are looked at before training: bad ones are named together, and deep ones get one range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.data import DataError, DataOptions, build_data, check_data, check_images
from bitvit.data.splits import random_stream
from bitvit.runtime.decoding import Decoding

RANDOM = np.random.default_rng(5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, count in (("train", 6), ("val", 2)):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = RANDOM.integers(0, 256, (30, 40, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.jpg", quality=90)
    return tmp_path


def spoil(folder: Path) -> list[Path]:
    cat, dog, val = folder / "train" / "cat", folder / "train" / "dog", folder / "val" / "dog"
    (cat / "0.jpg").write_bytes((cat / "0.jpg").read_bytes()[:400])
    (dog / "3.jpg").write_text("<html>404</html>")
    (dog / "4.jpg").write_bytes(b"")
    (val / "1.jpg").write_bytes((val / "1.jpg").read_bytes()[:-50])
    return [cat / "0.jpg", dog / "3.jpg", dog / "4.jpg", val / "1.jpg"]


def test_all_bad_images_are_named_at_once(folder: Path) -> None:
    data = build_data(str(folder))
    assert check_data(data) == data
    bad = spoil(folder)
    with pytest.raises(DataError, match=r"4 of 16 images cannot be read.*data\.on_error=skip") as error:
        check_data(data)
    for path in bad:
        assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_images_can_be_skipped(folder: Path) -> None:
    bad = spoil(folder)
    data = check_data(build_data(str(folder)), "skip")
    assert (len(data.train), len(data.val)) == (9, 3)
    assert any("4 of 16 images cannot be read and are left out" in note for note in data.notes)
    names = {data.train.describe(i) for i in range(9)} | {data.val.describe(i) for i in range(3)}
    assert not names & {str(path) for path in bad}
    for position in range(9):
        data.train.image(position)


def test_a_class_of_bad_images_only_is_named(folder: Path) -> None:
    for path in (folder / "train" / "dog").iterdir():
        path.write_text("no image")
    with pytest.raises(DataError, match="none of the training images of a class can be read: 'dog'"):
        check_data(build_data(str(folder)), "skip")
    for path in (folder / "train" / "cat").iterdir():
        path.write_text("no image")
    with pytest.raises(DataError, match="none of the training images of 2 of 2 classes can be read: 'cat', 'dog'"):
        check_data(build_data(str(folder)), "skip")


def test_validation_images_none_of_which_can_be_read(folder: Path) -> None:
    for path in (folder / "val").rglob("*.jpg"):
        path.write_text("no image")
    with pytest.raises(DataError, match=r"none of the 4 validation images can be read: .*cat.*0\.jpg"):
        check_data(build_data(str(folder)), "skip")


def test_many_bad_images_are_one_line_of_bounded_length(folder: Path) -> None:
    for number in range(300):
        (folder / "train" / "cat" / f"bad {number:03d}.png").write_text("no image")
    with pytest.raises(
        DataError, match=r"300 of 316 images cannot be read.*and 280 more\. Fix or remove them"
    ) as error:
        check_data(build_data(str(folder)))
    assert len(str(error.value)) < 8000


def test_a_missing_end_mark_is_tolerated(folder: Path) -> None:
    path = folder / "train" / "cat" / "2.jpg"
    path.write_bytes(path.read_bytes()[:-2])
    assert len(check_data(build_data(str(folder))).train) == 12


def test_images_to_judge_by_are_checked_too(folder: Path) -> None:
    images = build_data(str(folder)).train
    assert check_images(images) == (images, [])
    spoil(folder)
    with pytest.raises(DataError, match="3 of 12 images cannot be read"):
        check_images(images)
    rest, (note,) = check_images(images, "skip")
    assert len(rest) == 9
    assert "3 of 12" in note


def test_twelve_bit_images_get_the_range_of_all_of_them(folder: Path) -> None:
    rng = random_stream(0, "depth")
    for number, path in enumerate(sorted((folder / "train").rglob("*.jpg"))):
        path.unlink()
        values = rng.integers(0, 4000 if number == 7 else 300, (9, 9)).astype(np.uint16)
        Image.fromarray(values).save(path.with_suffix(".tif" if number % 2 else ".png"))
    data = check_data(build_data(str(folder)))
    assert data.train.decoding.value_range == data.val.decoding.value_range == (0, 4095)
    assert any("12 images are deeper than 8 bits" in note and "data.bit_depth" in note for note in data.notes)
    brightest = max(int(np.asarray(data.train.image(i)).max()) for i in range(12))
    assert brightest > 240
    told = check_data(build_data(str(folder), options=DataOptions(decoding=Decoding(value_range=(0, 16383)))))
    assert told.train.decoding.value_range == (0, 16383)
    assert told.notes == ()


def test_progress_reaches_the_number_of_images(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    check_data(build_data(str(folder)), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (16, 16)
    assert [done for done, _ in seen] == list(range(1, 17))


def test_validation_classes_without_a_readable_image_are_named(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / part / label / f"{number}.png")
    for path in (tmp_path / "val" / "cat").iterdir():
        path.write_bytes(b"")
    data = check_data(build_data(str(tmp_path)), "skip")
    assert "no validation images are left of 'cat'" in data.notes


def test_copies_of_training_images_are_noted(folder: Path) -> None:
    """A copy among the validation images flatters the network; one in another class contradicts the first."""
    train, val = folder / "train", folder / "val"
    (val / "dog" / "holiday.jpg").write_bytes((train / "dog" / "3.jpg").read_bytes())
    (train / "cat" / "stray (1).jpg").write_bytes((train / "dog" / "4.jpg").read_bytes())
    notes = check_data(build_data(str(folder))).notes
    leaked, twice = (note for note in notes if "cop" in note or "more than one class" in note)
    assert leaked.startswith("1 of the 5 validation images is a copy of training images")
    assert f"{val / 'dog' / 'holiday.jpg'} is {train / 'dog' / '3.jpg'}" in leaked
    assert twice.startswith("1 file lies in more than one class")
    assert "stray (1).jpg" in twice


def test_a_copy_beside_its_original_is_no_matter_unless_it_is_held_out(folder: Path) -> None:
    for number in range(6):
        cat = folder / "train" / "cat" / f"{number}.jpg"
        (cat.parent / f"{number} copy.jpg").write_bytes(cat.read_bytes())
    assert check_data(build_data(str(folder))).notes == ()
    (notes,) = check_data(build_data(str(folder / "train"))).notes  # split by chance
    assert "copies of training images" in notes or "is a copy of training images" in notes
