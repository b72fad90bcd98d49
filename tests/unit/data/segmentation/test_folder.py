"""Folders of photos and masks, good and bad: every fault is one line that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bitvit.data import DataError
from bitvit.data.segmentation import build_segmentation_data, is_segmentation
from bitvit.errors import ImageError

Mask = npt.NDArray[np.uint8]

MASK = np.array([[0, 1, 2], [255, 1, 0]], np.uint8)


def put(folder: Path, part: str, name: str, mask: Mask | Image.Image = MASK, size: tuple[int, int] = (3, 2)) -> Path:
    """Write a photo of `size` (width, height) and its mask; return the mask's path."""
    image_path, mask_path = folder / "images" / part / f"{name}.jpg", folder / "masks" / part / f"{name}.png"
    for path in (image_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 100, 50)).save(image_path)
    (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(mask_path)
    return mask_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("train", "val"):
        for name in ("a", "b", "c"):
            put(tmp_path, part, name)
    return tmp_path


def test_grey_masks_by_parts(folder: Path) -> None:
    data = build_segmentation_data(str(folder))
    assert (len(data.train), len(data.val), data.labels) == (3, 3, ("0", "1", "2"))
    np.testing.assert_array_equal(data.val.target(1), MASK)
    assert data.train.image(0).size == (3, 2)
    assert is_segmentation(str(folder))
    assert is_segmentation("folder", folder)
    assert not is_segmentation(str(folder / "images"))


def test_one_pair_of_folders_is_split_by_its_seed(tmp_path: Path) -> None:
    for number in range(10):
        put(tmp_path, "", f"{number}")
    first = build_segmentation_data(str(tmp_path), val_fraction=0.3)
    assert (len(first.train), len(first.val)) == (7, 3)
    assert set(first.train.images).isdisjoint(first.val.images)
    assert build_segmentation_data(str(tmp_path), val_fraction=0.3).val.images == first.val.images
    assert build_segmentation_data(str(tmp_path), val_fraction=0.3, split_seed=1).val.images != first.val.images


def test_indexed_masks_bring_their_colours(tmp_path: Path) -> None:
    image = Image.fromarray(MASK)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90] + [0] * 759)
    for number in range(2):
        put(tmp_path, "", f"{number}", image)
    data = build_segmentation_data(str(tmp_path))
    assert data.colors == ((10, 20, 30), (40, 50, 60), (70, 80, 90))
    np.testing.assert_array_equal(data.train.target(0), MASK)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("name,red,green,blue", ["sky,0,0,255", "grass, 0, 255, 0", "void,0,0,0"]),
        ("Name,Color", ["sky,#0000ff", "grass,00FF00", "ignore,#000000"]),
        ("\ufeffname,r,g,b", ["sky,0,0,255", "grass,0,255,0", "ignored,0,0,0"]),
    ],
)
def test_colours_of_classes_csv(tmp_path: Path, header: str, rows: list[str]) -> None:
    colors = np.array([[[0, 0, 255], [0, 255, 0], [0, 0, 0]]], np.uint8)
    for number in range(2):
        put(tmp_path, "", f"{number}", colors, (3, 1))
    (tmp_path / "classes.csv").write_text("\n".join([header, *rows]), "utf-8")
    data = build_segmentation_data(str(tmp_path))
    assert data.labels == ("sky", "grass")
    assert data.colors == ((0, 0, 255), (0, 255, 0))
    np.testing.assert_array_equal(data.train.target(0), [[0, 1, 255]])


def test_values_of_classes_csv_for_grey_masks(tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path, "", f"{number}", np.array([[0, 127, 255]], np.uint8), (3, 1))
    (tmp_path / "classes.csv").write_text("name,value\nground,0\nhouse,255\nignore,127\n")
    data = build_segmentation_data(str(tmp_path))
    assert data.labels == ("ground", "house")
    np.testing.assert_array_equal(data.val.target(0), [[0, 255, 1]])


def test_16_bit_and_1_bit_masks(tmp_path: Path) -> None:
    put(tmp_path, "", "deep", Image.fromarray(MASK.astype(np.uint16)))
    put(tmp_path, "", "flat", Image.fromarray(np.array([[0, 1, 1], [0, 0, 0]], bool)))
    data = build_segmentation_data(str(tmp_path))
    masks = [data.train.target(0), data.val.target(0)]
    assert {int(mask.max()) for mask in masks} == {255, 1}


def test_a_turned_photo_has_the_size_of_its_upright_form(tmp_path: Path) -> None:
    for number in range(2):
        put(tmp_path, "", f"{number}")
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (2, 3)).save(tmp_path / "images" / f"{number}.jpg", exif=exif)
    assert build_segmentation_data(str(tmp_path)).train.image(0).size == (3, 2)


def refused(folder: Path, pattern: str) -> None:
    with pytest.raises((DataError, ImageError), match=pattern) as caught:
        build_segmentation_data(str(folder))
    assert "\n" not in str(caught.value)


def test_an_image_without_mask_and_a_mask_without_image(folder: Path) -> None:
    (folder / "masks" / "val" / "b.png").rename(folder / "masks" / "val" / "z.png")
    refused(folder, r"images/val/b\.jpg: has no mask; expected .*masks/val/b\.png")
    put(folder, "val", "b")
    refused(folder, r"masks/val/z\.png: has no image")


def test_a_mask_of_another_size(folder: Path) -> None:
    put(folder, "train", "b", MASK.T.copy())
    refused(folder, r"masks/train/b\.png: is 2 x 3, but b\.jpg is 3 x 2")


def test_a_class_beyond_the_list(folder: Path) -> None:
    (folder / "classes.csv").write_text("name\none\ntwo\nthree\n")
    put(folder, "val", "c", np.array([[0, 3, 1], [0, 0, 0]], np.uint8))
    refused(folder, r"masks/val/c\.png: has the value 3, but there are 3 classes")
    (folder / "classes.csv").unlink()
    put(folder, "val", "c", np.array([[0, 200, 1], [0, 0, 0]], np.uint8))
    refused(folder, r"masks/val/c\.png: has the value 200, but only")
    put(folder, "val", "c", Image.fromarray(np.array([[0, 300, 1], [0, 0, 0]], np.uint16)))
    refused(folder, r"masks/val/c\.png: has the value 300")


def test_a_mask_that_is_ignored_altogether(folder: Path) -> None:
    put(folder, "train", "a", np.full((2, 3), 255, np.uint8))
    refused(folder, r"masks/train/a\.png: every pixel is ignored")
    for part in ("train", "val"):
        for name in ("a", "b", "c"):
            put(folder, part, name, np.full((2, 3), 255, np.uint8))
    refused(folder, r"masks/train/a\.png: every pixel of this mask, and of all others, is ignored")


def test_colours_without_a_list_and_colours_beyond_it(folder: Path) -> None:
    put(folder, "train", "a", np.zeros((2, 3, 3), np.uint8))
    refused(folder, r"masks/train/a\.png: is an RGB mask, but no colours are known")
    (folder / "classes.csv").write_text("name,red,green,blue\nblack,0,0,0\nred,255,0,0\nblue,0,0,255\n")
    put(folder, "train", "a", np.full((2, 3, 3), 7, np.uint8))
    refused(folder, r"masks/train/a\.png: has the colour \(7, 7, 7\)")


def test_masks_that_cannot_be_read(folder: Path) -> None:
    path = folder / "masks" / "val" / "a.png"
    path.write_bytes(b"not a picture")
    refused(folder, r"masks/val/a\.png: this mask is not an image")
    path.unlink()
    Image.fromarray(MASK).save(folder / "masks" / "val" / "a.jpg")
    refused(folder, r"masks/val/a\.jpg: JPEG changes the values")


def test_missing_parts_and_single_classes(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder")
    (tmp_path / "images").mkdir()
    refused(tmp_path, r"masks: no such folder")
    (tmp_path / "masks").mkdir()
    refused(tmp_path, r"images: has no images")
    put(tmp_path, "", "a", np.zeros((2, 3), np.uint8))
    refused(tmp_path, r"a\.jpg: is the only image")
    put(tmp_path, "", "b", np.zeros((2, 3), np.uint8))
    refused(tmp_path, "have one class")
    Image.new("RGB", (3, 2)).save(tmp_path / "images" / "a.bmp")
    refused(tmp_path, r"a\.jpg: a\.bmp has the same name")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("colour,red\n1,2\n", "has no column 'name'"),
        ("name,red,green,blue\na,1,2\nb,3,4,5\n", "line 2: a colour must be three integers"),
        ("name,color\na,#12\n", "line 2: '#12' is not a colour"),
        ("name\na\na\n", "line 3: class 'a' occurs twice"),
        ("name,red,green,blue\na,1,2,3\nb,1,2,3\n", "line 3: colour .* is given to two classes"),
        ("name,value\na,1\nb,1\n", "line 3: value 1 is given to two classes"),
        ("name,value\na,70000\n", "line 2: value '70000'"),
        ("name,red,green,blue\na,1,2,3\nb,,,\n", "class 'b' has no colour"),
        ("name\n" + "\n".join(f"c{i}" for i in range(256)), "lists 256 classes"),
        ("name\n", "has no column 'name'|lists 0 classes"),
    ],
)
def test_faults_of_classes_csv_are_named(folder: Path, text: str, pattern: str) -> None:
    (folder / "classes.csv").write_text(text)
    refused(folder, rf"classes\.csv.*({pattern})")
