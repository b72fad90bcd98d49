"""ADE20K, VOC, Cityscapes and Oxford-IIIT Pet in small, in the layout in which they are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.data import DataError
from bitvit.data.segmentation import build_segmentation_data, is_segmentation


def picture(path: Path, values: list[int] | None = None) -> None:
    """A photo, or with `values` a mask of one row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is None:
        Image.new("RGB", (4, 1), (9, 8, 7)).save(path)
    else:
        Image.fromarray(np.array([values], np.uint8)).save(path)


def ade20k(root: Path) -> None:
    folder = root / "ADEChallengeData2016"
    for part, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        picture(folder / "images" / part / f"{name}.jpg")
        picture(folder / "annotations" / part / f"{name}.png", [0, 1, 2, 150])
    rows = [f"{i}\t0.1\t1\t1\tthing {i}, other name" for i in range(1, 151)]
    (folder / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n")


def voc(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2012"
    for part, name in (("train", "2007_000032"), ("val", "2007_000033")):
        picture(folder / "JPEGImages" / f"{name}.jpg")
        picture(folder / "SegmentationClass" / f"{name}.png", [0, 1, 20, 255])
        (folder / "ImageSets" / "Segmentation").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Segmentation" / f"{part}.txt").write_text(f"{name}\n")


def cityscapes(root: Path) -> None:
    for part in ("train", "val"):
        name = "aachen_000000_000019"
        picture(root / "cityscapes" / "leftImg8bit" / part / "aachen" / f"{name}_leftImg8bit.png")
        picture(root / "cityscapes" / "gtFine" / part / "aachen" / f"{name}_gtFine_labelIds.png", [0, 7, 33, 9])


def oxford_pet(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for part, name in (("trainval", "Abyssinian_1"), ("test", "beagle_2")):
        picture(folder / "images" / f"{name}.jpg")
        picture(folder / "annotations" / "trimaps" / f"{name}.png", [1, 2, 3, 1])
        (folder / "annotations" / f"{part}.txt").write_text(f"{name} 1 1 1\n")


CASES = {
    "ade20k": (ade20k, 150, [255, 0, 1, 149]),
    "voc": (voc, 21, [0, 1, 20, 255]),
    "cityscapes": (cityscapes, 19, [255, 0, 18, 255]),
    "oxford-pet": (oxford_pet, 2, [1, 0, 255, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_published_form(name: str, tmp_path: Path) -> None:
    write, n_classes, expected = CASES[name]
    write(tmp_path)
    for data in (build_segmentation_data(name, tmp_path), build_segmentation_data(str(tmp_path))):
        assert (len(data.train), len(data.val), len(data.labels), len(data.colors)) == (1, 1, n_classes, n_classes)
        assert len(set(data.labels)) == n_classes
        assert data.val.target(0).tolist() == [expected]
        assert data.train.image(0).size == (4, 1)
    assert is_segmentation(str(tmp_path))
    assert is_segmentation(name)


@pytest.mark.parametrize("name", CASES)
def test_incomplete_sets_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=name):
        build_segmentation_data(name, tmp_path)
    CASES[name][0](tmp_path)
    masks = [path for path in sorted(tmp_path.rglob("*.png")) if "leftImg8bit" not in path.name]
    masks[0].unlink()
    with pytest.raises(DataError, match=masks[0].name):
        build_segmentation_data(name, tmp_path)


def test_names_of_ade20k(tmp_path: Path) -> None:
    ade20k(tmp_path)
    assert build_segmentation_data("ade20k", tmp_path).labels[:2] == ("thing 1", "thing 2")
    (tmp_path / "ADEChallengeData2016" / "objectInfo150.txt").unlink()
    assert build_segmentation_data("ade20k", tmp_path).labels[:2] == ("1", "2")


def test_a_value_beyond_the_classes_is_named_when_it_is_read(tmp_path: Path) -> None:
    voc(tmp_path)
    picture(tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000033.png", [21, 0, 0, 0])
    with pytest.raises(DataError, match=r"2007_000033\.png: has the value 21"):
        build_segmentation_data("voc", tmp_path).val.target(0)
