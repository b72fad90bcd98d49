"""Which folders are splits and which are classes, and what is left out of a user's own folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitvit.data import DataError, DataOptions, build_data, build_evaluation
from bitvit.data.class_order import natural_key
from bitvit.data.split_names import role_in_name, split_role
from bitvit.data.summary import summary_lines


def fill(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(folder / f"{number}.png")


def layout(root: Path, *folders: str, count: int = 3) -> Path:
    for folder in folders:
        for label in ("cat", "dog"):
            fill(root / folder / label, count)
    return root


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Train", "train"), ("TRAINING", "train"), ("train2017", "train"), ("training_set", "train"), ("trn", "train"),
        ("Val", "val"), ("valid", "val"), ("Validation", "val"), ("DEV", "val"), ("eval", "val"), ("val images", "val"),
        ("test", "test"), ("Testing", "test"), ("test-data", "test"), ("Holdout", "test"),
        ("hold-out", "test"), ("Held_Out", "test"), ("hold out 2", "test"),
        ("trainval", "train"), ("Train_Val", "train"),
        ("Trainset", "train"), ("TrainData", "train"), ("imagesTest", "test"), ("valset", "val"),
        ("DATATRAIN", "train"), ("testament", None), ("restrain", None), ("valley", None), ("dataset", None),
        ("train station", None), ("contest", None), ("trains", None), ("cats", None), ("images", None), ("7", None),
    ],
)  # fmt: skip
def test_names_of_splits(name: str, role: str | None) -> None:
    assert split_role(name) == role


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train", "val"), ("Train", "Val"), ("training", "validation"), ("TRAIN", "dev"), ("train_set", "valid_set"),
        ("train2024", "eval"),
    ],
)  # fmt: skip
def test_splits_are_recognized_in_any_case(tmp_path: Path, train: str, val: str) -> None:
    data = build_data(str(layout(tmp_path, train, val)))
    assert data.labels == ("cat", "dog")
    assert (len(data.train), len(data.val)) == (6, 6)
    assert all(f"{os.sep}{val}{os.sep}" in data.val.describe(i) for i in range(6))
    assert data.notes == ()


@pytest.mark.parametrize("test", ["test", "Testing", "holdout"])
def test_selecting_on_test_images_is_said(tmp_path: Path, test: str) -> None:
    data = build_data(str(layout(tmp_path, "train", test)))
    assert len(data.val) == 6
    assert any("called test" in note and test in note for note in data.notes)
    assert any("called test" in line for line in summary_lines(data))


def test_dev_chooses_and_test_is_kept_for_the_end(tmp_path: Path) -> None:
    layout(tmp_path, "Train", "dev")
    layout(tmp_path, "Test", count=4)
    data = build_data(str(tmp_path))
    assert "dev" in data.val.describe(0)
    assert data.notes == ()
    judged = build_evaluation(str(tmp_path), labels=data.labels, part="test")
    assert (len(judged.images), judged.part) == (8, "test")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "training", "val"), r"both '.+', '.+' look like images for training.*merge"),
        (("train", "val", "Dev"), r"both '.+', '.+' look like images for validation.*merge"),
        (("train", "val", "extra"), r"look like splits and 'extra' like a class.*data\.layout=classes"),
        (("val", "test"), "held-out images only"),
        (("photos/train", "photos/val"), r"single folder 'photos', which holds 'train', 'val': give .*photos"),
    ],
)
def test_ambiguous_combinations_are_refused_with_advice(tmp_path: Path, folders: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_data(str(layout(tmp_path, *folders)))


def test_a_class_called_train_needs_a_word(tmp_path: Path) -> None:
    for label in ("car", "bus", "Train"):
        fill(tmp_path / label)
    with pytest.raises(DataError, match="'Train' looks like a split and 'bus', 'car' like classes"):
        build_data(str(tmp_path))
    assert build_data(str(tmp_path), options=DataOptions(layout="classes")).labels == ("bus", "car", "Train")
    layout(tmp_path / "second", "train", "val", "rest")
    assert build_data(str(tmp_path / "second"), options=DataOptions(layout="split")).labels == ("cat", "dog")


def test_flat_images_in_a_split_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "val")
    with pytest.raises(DataError, match="holds images, but has no class folders"):
        build_data(str(tmp_path))


def test_splits_below_classes_are_refused(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for part in ("train", "test"):
            fill(tmp_path / label / part)
    with pytest.raises(DataError, match="below a class, so held-out images would be trained on"):
        build_data(str(tmp_path))


@pytest.mark.parametrize("names", [("Fit", "Eval"), ("train", "rest"), ("a", "test", "z")])
def test_one_known_split_below_every_class_is_enough(tmp_path: Path, names: tuple[str, ...]) -> None:
    for label in ("cat", "dog", "eel"):
        for name in names:
            fill(tmp_path / label / name)
    with pytest.raises(DataError, match="below a class, so held-out images would be trained on"):
        build_data(str(tmp_path))
    assert build_data(str(tmp_path), options=DataOptions(layout="classes")).labels == ("cat", "dog", "eel")


def test_folders_of_every_class_are_named(tmp_path: Path) -> None:
    for label in ("cat", "dog", "eel", "fox"):
        for name in ("lernen", "schauen"):
            fill(tmp_path / label / name)
    assert any("every class has the folders 'lernen', 'schauen'" in note for note in build_data(str(tmp_path)).notes)
    fill(tmp_path / "cat" / "more")
    assert not any("every class" in note for note in build_data(str(tmp_path)).notes)


@pytest.mark.parametrize("above", ["photos", "a/b", "x/y/z"])
@pytest.mark.parametrize("inner", [("cat", "dog"), ("train", "val")])
def test_a_single_folder_around_the_images_is_named(tmp_path: Path, above: str, inner: tuple[str, ...]) -> None:
    for name in inner:
        fill(tmp_path / above / name / "c0")
        fill(tmp_path / above / name / "c1")
    with pytest.raises(DataError, match=f"has the single folder '{above}', which holds '{inner[0]}', '{inner[1]}'"):
        build_data(str(tmp_path))


def test_a_class_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    layout(tmp_path / "other", "")
    found = build_evaluation(str(tmp_path / "other"), labels=("cat", "dog", "eel"))
    assert [note for note in found.notes if "eel" in note] == [
        f"{tmp_path / 'other'}: 1 of the network's 3 classes have no images here: 'eel'"
    ]


def test_missing_classes_of_validation_are_named_and_unknown_ones_refused(tmp_path: Path) -> None:
    layout(tmp_path, "train")
    fill(tmp_path / "train" / "eel")
    fill(tmp_path / "val" / "dog")
    data = build_data(str(tmp_path))
    assert any("2 of 3 classes have no validation images: 'cat', 'eel'" in note for note in data.notes)
    assert set(data.val.targets.tolist()) == {1}
    fill(tmp_path / "val" / "fox")
    with pytest.raises(DataError, match=r"'fox' is not among the classes that are trained.*rename or remove it"):
        build_data(str(tmp_path))


def test_class_order_is_natural_and_can_be_chosen(tmp_path: Path) -> None:
    names = ["class 10", "Class 9", "apple", "Zebra", "class 1"]
    for name in names:
        fill(tmp_path / name)
    folder = str(tmp_path)
    assert build_data(folder).labels == ("apple", "class 1", "Class 9", "class 10", "Zebra")
    assert build_data(folder, options=DataOptions(class_order="alphabetical")).labels == tuple(sorted(names))
    assert build_data(folder, options=DataOptions(class_order=names)).labels == tuple(names)
    with pytest.raises(DataError, match="leaves out 'apple'"):
        build_data(folder, options=DataOptions(class_order=[name for name in names if name != "apple"]))
    with pytest.raises(DataError, match="names 'plum'"):
        build_data(folder, options=DataOptions(class_order=[*names, "plum"]))


def test_natural_order_is_that_of_timm() -> None:
    timm_key = pytest.importorskip("timm.data.readers.reader_image_folder").natural_key
    names = ["10", "9", "1", "n02", "n1", "N10", "a", "B", "a b", "img12b3", "img2b30", "0", "007"]
    assert sorted(names, key=natural_key) == sorted(sorted(names), key=timm_key)


def test_hidden_files_and_folders_are_nowhere(tmp_path: Path) -> None:
    layout(tmp_path, "train", "val")
    for hidden in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
        fill(tmp_path / hidden / "cat")
        fill(tmp_path / "train" / hidden)
        fill(tmp_path / "train" / "cat" / hidden)
    for name in ("._0.png", "Thumbs.db", ".DS_Store"):
        (tmp_path / "train" / "dog" / name).write_bytes(b"no image")
    data = build_data(str(tmp_path))
    assert (data.labels, len(data.train), len(data.val)) == (("cat", "dog"), 6, 6)
    assert any("left out 6 hidden" in note for note in data.notes)


def test_what_is_left_out_is_counted_with_the_reason(tmp_path: Path) -> None:
    layout(tmp_path, "train", "val")
    cat = tmp_path / "train" / "cat"
    for name in ("a.dng", "b.NEF", "c.svg", "notes.txt", "list.csv", "README"):
        (cat / name).write_text("x")
    (cat / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (note,) = build_data(str(tmp_path)).notes
    for part in ("1 .dng (convert them to PNG)", "1 .nef", "1 .svg", "3 that are not images", "1 broken links"):
        assert part in note


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPG", ".gif", ".ppm", ".tga", ".jp2", ".avif"])
def test_all_that_pillow_reads_is_read(tmp_path: Path, suffix: str) -> None:
    layout(tmp_path, "train", "val")
    try:
        Image.new("RGB", (9, 9)).save(tmp_path / "train" / "cat" / f"new{suffix.lower()}")
    except (OSError, KeyError):
        pytest.skip(f"this Pillow has no {suffix}")
    (tmp_path / "train" / "cat" / f"new{suffix.lower()}").rename(tmp_path / "train" / "cat" / f"x{suffix}")
    data = build_data(str(tmp_path))
    assert (len(data.train), data.notes) == (7, ())


def test_linked_folders_are_followed_once_and_never_in_circles(tmp_path: Path) -> None:
    layout(tmp_path / "data", "train", "val")
    fill(tmp_path / "elsewhere", 5)
    cat = tmp_path / "data" / "train" / "cat"
    (cat / "more").symlink_to(tmp_path / "elsewhere")
    (cat / "again").symlink_to(tmp_path / "elsewhere")
    (cat / "loop").symlink_to(cat)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "train" / "eel").symlink_to(tmp_path / "elsewhere")
    data = build_data(str(tmp_path / "data"), options=DataOptions(layout="auto"))
    assert data.labels == ("cat", "dog", "eel")
    # The link back leads from `elsewhere` to all other images, each of them once.
    assert len({data.train.describe(i) for i in range(len(data.train))}) == len(data.train)
    assert np.bincount(data.train.targets)[1] == 3


def test_a_folder_that_exists_wins_over_a_known_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(build_data("digits").labels) == 10
    layout(tmp_path, "digits/train", "digits/val")
    for name in ("digits", "./digits", str(tmp_path / "digits")):
        data = build_data(name)
        assert data.labels == ("cat", "dog")
        assert any("is the folder" in note for note in data.notes) == (name == "digits")


def test_two_unicode_forms_of_one_name_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    fill(tmp_path / "train" / composed)
    fill(tmp_path / "train" / "dog")
    fill(tmp_path / "val" / decomposed)
    data = build_data(str(tmp_path))
    assert data.labels == (composed, "dog")
    assert set(data.val.targets.tolist()) == {0}


def test_class_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "cat")
    try:
        fill(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(DataError, match=r"caf\\xe9: the name of this class is not UTF-8"):
        build_data(str(tmp_path))


def test_evaluation_takes_all_images_of_a_folder_without_splits(tmp_path: Path) -> None:
    fill(tmp_path / "dog", 5)
    labels = ("cat", "dog", "eel")
    found = build_evaluation(str(tmp_path), labels=labels)
    assert (len(found.images), found.part, found.images.labels) == (5, "all", labels)
    assert found.images.targets.tolist() == [1] * 5
    assert any("2 of the network's 3 classes have no images" in note for note in found.notes)
    held_out = build_evaluation(str(tmp_path), labels=labels, was_trained_on=True)
    assert (len(held_out.images), held_out.part) == (1, "val")
    assert any("the 1 of its 5 images that training did not see; --split all" in note for note in held_out.notes)
    fill(tmp_path / "fox")
    with pytest.raises(DataError, match="'fox'"):
        build_evaluation(str(tmp_path), labels=labels)


def test_evaluation_of_split_folders(tmp_path: Path) -> None:
    layout(tmp_path, "Train", "Val")
    labels = ("dog", "cat")
    for part, count in ((None, 6), ("val", 6), ("train", 6), ("all", 12)):
        found = build_evaluation(str(tmp_path), labels=labels, part=part)  # type: ignore[arg-type]
        assert len(found.images) == count
        names = [labels[target] in found.images.describe(i) for i, target in enumerate(found.images.targets)]
        assert all(names)
    only_test = layout(tmp_path / "second", "test")
    assert build_evaluation(str(only_test), labels=labels).part == "test"


@pytest.mark.parametrize("names", [("learn", "check"), ("Trainieren", "Prüfung"), ("a", "b", "c")])
def test_splits_in_other_words_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    layout(tmp_path, *names)
    with pytest.raises(DataError, match=r"like splits with these classes: .*rename them to train, val and test"):
        build_data(str(tmp_path))
    as_classes = DataOptions(layout="classes")
    assert build_data(str(tmp_path), options=as_classes).labels == tuple(sorted(names, key=natural_key))


def test_deeper_folders_of_classes_are_no_splits(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        fill(tmp_path / label / "2024")
        fill(tmp_path / label / ("indoor" if label == "cat" else "street"))
    assert build_data(str(tmp_path)).labels == ("cat", "dog")


def test_classes_too_small_to_judge_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 8)
    fill(tmp_path / "lynx", 1)
    data = build_data(str(tmp_path))
    assert list(data.val.class_counts()) == [2, 0]
    assert any("never evaluated: 'lynx'" in note for note in data.notes)


def test_an_empty_validation_folder_is_named(tmp_path: Path) -> None:
    layout(tmp_path, "train")
    for label in ("cat", "dog"):
        (tmp_path / "val" / label).mkdir(parents=True)
    with pytest.raises(DataError, match=r".*: there are no validation images: add some, or remove their empty folder"):
        build_data(str(tmp_path))


def test_a_test_folder_alone_is_evaluated_whole(tmp_path: Path) -> None:
    layout(tmp_path, "test")
    found = build_evaluation(str(tmp_path), labels=("cat", "dog"), was_trained_on=True)
    assert (found.part, len(found.images)) == ("test", 6)


def test_an_empty_name_is_no_folder() -> None:
    with pytest.raises(DataError, match="name of the data set is empty"):
        build_data("")


@pytest.mark.parametrize("names", ["fold_{}", "Fold {}", "part{}", "split-{}"])
def test_numbered_folds_are_no_classes(tmp_path: Path, names: str) -> None:
    layout(tmp_path, *(names.format(number) for number in range(5)))
    with pytest.raises(DataError, match=r"all have the same folders.*data\.layout=classes"):
        build_data(str(tmp_path))


def test_numbered_folders_of_other_names_are_classes(tmp_path: Path) -> None:
    data = build_data(str(layout(tmp_path, *(f"person {number}" for number in range(5)))))
    assert len(data.labels) == 5 and any("every class has the folders" in note for note in data.notes)


def test_images_beside_the_splits_are_counted(tmp_path: Path) -> None:
    fill(layout(tmp_path, "train", "val"), 2)
    (note,) = build_data(str(tmp_path)).notes
    assert note == f"{tmp_path}: 2 images lie beside the folders of the splits and belong to no class: left out"


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("cat", "cat "), ("big cat", "Big_Cat")])
def test_classes_of_nearly_one_name_are_noted(tmp_path: Path, one: str, other: str) -> None:
    for name in (one, other, "dog"):
        fill(tmp_path / name, 5)
    (note,) = build_data(str(tmp_path)).notes
    assert "count as two classes" in note and f"'{one}'" in note and f"'{other}'" in note


def test_links_to_folders_around_a_class_are_not_followed(tmp_path: Path) -> None:
    layout(tmp_path, "train", "val")
    (tmp_path / "train" / "cat" / "up").symlink_to("..")
    (tmp_path / "train" / "cat" / "top").symlink_to(tmp_path)
    data = build_data(str(tmp_path))
    assert data.train.class_counts().tolist() == [3, 3]
    assert data.notes == (f"{tmp_path}: left out 2 links to a folder that was searched already",)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("cats_train", ("cats", "train")), ("Train-Cats", ("cats", "train")), ("bigCatVal", ("big cat", "val")),
        ("val 2", ("2", "val")), ("train", None), ("train_test", None), ("cats", None), ("trained cats", None),
    ],
)  # fmt: skip
def test_splits_as_words_of_names(name: str, found: tuple[str, str] | None) -> None:
    assert role_in_name(name) == found


@pytest.mark.parametrize(
    "names",
    [("cat_train", "dog_train", "cat_test", "dog_test"), ("train cat", "val cat", "train dog"), ("CatTrain", "CatDev")],
)
def test_splits_in_the_names_of_classes_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        fill(tmp_path / name)
    with pytest.raises(
        DataError,
        match=r"look like splits of one class.*make folders train/cat and (test|val)/cat, .*data\.layout=classes",
    ):
        build_data(str(tmp_path))
    assert len(build_data(str(tmp_path), options=DataOptions(layout="classes")).labels) == len(names)


def test_classes_with_one_such_word_are_classes(tmp_path: Path) -> None:
    for name in ("train station", "test tube", "bus"):
        fill(tmp_path / name)
    data = build_data(str(tmp_path))
    assert (data.labels, data.notes) == (("bus", "test tube", "train station"), ())


def test_splits_in_the_names_of_files_are_noted(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for name in ("train_1", "train_2", "val_1"):
            Image.new("RGB", (9, 9)).save(tmp_path / label / f"{name}.png")
    (note,) = build_data(str(tmp_path)).notes
    assert note.startswith("the names of all files say what they are for (such as 'train_1.png', 'val_1.png')")
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / "other.png")
    assert build_data(str(tmp_path)).notes == ()


def test_whole_sets_side_by_side_are_no_classes(tmp_path: Path) -> None:
    layout(tmp_path, "north/train", "south/train")
    with pytest.raises(DataError, match="'train' below a class"):
        build_data(str(tmp_path))


@pytest.mark.parametrize("others", [(), ("val",)])
def test_test_images_without_classes_are_left_out(tmp_path: Path, others: tuple[str, ...]) -> None:
    layout(tmp_path, "train", *others)
    fill(tmp_path / "test", 5)
    data = build_data(str(tmp_path))
    assert len(data.train) + len(data.val) == 6 * (1 + len(others))
    assert any("its 5 images have no class folders" in note and "predict" in note for note in data.notes)


def test_annotations_beside_the_images_are_no_split(tmp_path: Path) -> None:
    layout(tmp_path, "Images")
    for label in ("cat", "dog"):
        (tmp_path / "Annotation" / label).mkdir(parents=True)
        (tmp_path / "Annotation" / label / "0").write_text("<box/>")
    with pytest.raises(DataError, match=r"only 'Images' holds images: give .*Images"):
        build_data(str(tmp_path))


def test_a_table_of_classes_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "labels.csv").write_text("file,class\n0.png,cat\n")
    with pytest.raises(DataError, match=r"labels\.csv is not read: move each image into the folder of its class"):
        build_data(str(tmp_path))


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "photos.zip"
    archive.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"this is a file.*unpack it first"):
        build_data(str(archive))
