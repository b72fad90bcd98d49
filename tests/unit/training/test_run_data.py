"""A teacher's own images: more than the student gets, never one that validates, with the student's labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bitvit.data import DataError, ImageSet
from bitvit.training import Recipe, RecipeError, data_of
from bitvit.training.data_fingerprint import data_fingerprint, describe_changes
from bitvit.training.run_data import teacher_data_of

Pictures = npt.NDArray[np.uint8]


def made_pictures(count: int, seed: int) -> Pictures:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)


def write_pictures(folder: Path, pictures: Pictures, suffix: str) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}{suffix}")


def pixels_of(images: ImageSet) -> list[bytes]:
    return [images.image(position).tobytes() for position in range(len(images))]


def test_the_whole_data_set_teaches_and_its_common_images_keep_the_students_labels() -> None:
    recipe = Recipe.load(
        "gsb-demo", {"data.samples_per_class": 5, "data.label_noise": 0.4, "teacher.data.samples_per_class": None}
    )
    data = data_of(recipe)
    taught = teacher_data_of(recipe, data)
    clean = data_of(Recipe.load("gsb-demo"))
    assert len(taught.train) == len(clean.train) > len(data.train) == 50
    assert not set(taught.train.indices) & set(data.val.indices)
    assert taught.val is data.val
    place = {int(index): position for position, index in enumerate(taught.train.indices)}
    common = [place[int(index)] for index in data.train.indices]
    assert taught.train.targets[common].tolist() == data.train.targets.tolist()
    others = np.setdiff1d(np.arange(len(taught.train)), common)
    assert taught.train.targets[others].tolist() == clean.train.targets[others].tolist()


def test_so_many_images_of_each_class_contain_those_of_the_student() -> None:
    recipe = Recipe.load("gsb-demo", {"data.samples_per_class": 5, "teacher.data": {"samples_per_class": 12}})
    data = data_of(recipe)
    taught = teacher_data_of(recipe, data)
    assert taught.train.class_counts().tolist() == [12] * 10
    assert set(data.train.indices) < set(taught.train.indices)


def test_images_of_its_own_may_have_wrong_labels_those_of_the_student_not() -> None:
    changes = {"data.samples_per_class": 5, "teacher.data": {"samples_per_class": 50, "label_noise": 1.0}}
    recipe = Recipe.load("gsb-demo", changes)
    data = data_of(recipe)
    taught = teacher_data_of(recipe, data)
    right = taught.train.targets == data_of(Recipe.load("gsb-demo", {"data.samples_per_class": 50})).train.targets
    assert set(taught.train.indices[right]) == set(data.train.indices)


def test_in_cross_validation_the_fold_that_validates_teaches_nothing() -> None:
    whole = data_of(Recipe.load("gsb-demo")).train
    for fold in range(3):
        changes = {"data.folds": 3, "data.fold": fold, "data.samples_per_class": 5, "teacher.data": {}}
        recipe = Recipe.load("gsb-demo", changes)
        data = data_of(recipe)
        taught = teacher_data_of(recipe, data)
        assert not set(taught.train.indices) & set(data.val.indices)
        assert len(taught.train) + len(data.val) == len(whole)


def test_a_resumption_notices_that_the_teachers_images_have_changed(tmp_path: Path) -> None:
    for seed, name in enumerate(["ant", "bee"]):
        write_pictures(tmp_path / "large" / name, made_pictures(7, seed), ".png")
        write_pictures(tmp_path / "small" / name, made_pictures(5, 5 + seed), ".png")
    changes = {"data.name": str(tmp_path / "small"), "teacher.data": {"folder": str(tmp_path / "large")}}
    recipe = Recipe.load("gsb-demo", changes)
    data = data_of(recipe)
    before = data_fingerprint(data, teacher_data_of(recipe, data))
    (tmp_path / "large" / "ant" / "0.png").unlink()
    now = data_fingerprint(data, teacher_data_of(recipe, data))
    assert describe_changes(before, now) == ["number of the teacher's training images (14 then, 13 now)"]
    assert describe_changes(before, before) == []


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_another_folder_never_has_images_that_validate_whatever_their_names(tmp_path: Path, suffix: str) -> None:
    pictures = {name: made_pictures(20, seed) for seed, name in enumerate(["ant", "bee"])}
    for name, own in pictures.items():
        write_pictures(tmp_path / "small" / name, own[:10], ".png")
        write_pictures(tmp_path / "large" / "train" / name, own[::-1], suffix)
        write_pictures(tmp_path / "large" / "val" / name, made_pictures(3, 9), suffix)
    recipe = Recipe.load(
        "gsb-demo", {"data.name": str(tmp_path / "small"), "teacher.data": {"name": str(tmp_path / "large")}}
    )
    data = data_of(recipe)
    taught = teacher_data_of(recipe, data)
    assert len(data.val) == 4
    assert len(taught.train) == 40 - 4
    assert not set(pixels_of(taught.train)) & set(pixels_of(data.val))
    assert set(pixels_of(data.train)) < set(pixels_of(taught.train))
    assert any("4 images that validate the student are left out" in note for note in taught.notes)


def test_a_folder_that_is_not_split_teaches_with_all_its_images(tmp_path: Path) -> None:
    for seed, name in enumerate(["ant", "bee"]):
        write_pictures(tmp_path / "small" / name, made_pictures(5, seed), ".png")
        write_pictures(tmp_path / "large" / name, made_pictures(7, 5 + seed), ".png")
    changes = {"data.name": str(tmp_path / "small"), "teacher.data": {"folder": str(tmp_path / "large")}}
    recipe = Recipe.load("gsb-demo", changes)
    assert len(teacher_data_of(recipe, data_of(recipe)).train) == 14


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"samples_per_class": 100000}, "teacher.data: class '0' has"),
        ({"name": "no_such_set"}, "teacher.data: unknown data set 'no_such_set'"),
        ({"folder": "/no/such/folder"}, "teacher.data: /no/such/folder"),
        ({"name": "other"}, "teacher.data: other: 'cat', 'dog' are not among"),
    ],
    ids=str,
)
def test_images_that_cannot_be_had_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: dict[str, object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "other" / "cat", made_pictures(2, 0), ".png")
    write_pictures(tmp_path / "other" / "dog", made_pictures(2, 1), ".png")
    recipe = Recipe.load("gsb-demo", {"teacher.data": choice})
    with pytest.raises(DataError, match=message) as caught:
        teacher_data_of(recipe, data_of(recipe))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher.data": 3}, r"teacher\.data: must be a section or null"),
        ({"teacher.data.samples_per_class": 0}, r"teacher\.data\.samples_per_class: must be at least 1"),
        ({"teacher.data.label_noise": 2.0}, r"teacher\.data\.label_noise: must be a fraction"),
        ({"teacher.data.sample_per_class": 3}, r"did you mean 'teacher\.data\.samples_per_class'"),
        ({"teacher.data": {}, "teacher.epochs": 0, "teacher.weights": "x"}, r"teacher\.data: the teacher is taken"),
        ({"teacher.data": {}, "task.name": "segmentation"}, r"teacher\.data: is for classification"),
        ({"teacher.pretrained": True, "teacher.weights": "x"}, r"teacher\.pretrained: and teacher\.weights"),
        ({"distillation.final_temperature": 0.0}, r"distillation\.final_temperature: must be above 0"),
        ({"distillation.temperature_schedule": "sine"}, r"temperature_schedule: must be one of cosine, linear"),
        ({"distillation.heads": "one"}, r"distillation\.heads: must be one of distillation, both"),
        ({"augmentation.repeats": 0}, r"augmentation\.repeats: must be at least 1"),
        ({"regularization.from": 1.0}, r"regularization\.from: must be a share of the epochs"),
        ({"regularization.from_": 0.5}, r"unknown key 'regularization\.from_'"),
    ],
    ids=str,
)
def test_recipes_that_make_no_sense_name_the_key(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load("gsb-demo", {"teacher.warmup_epochs": 0, **changes})
    assert "\n" not in str(caught.value)


def test_the_key_from_survives_yaml_and_changes_a_fingerprint_only_where_it_is_set(tmp_path: Path) -> None:
    recipe = Recipe.load("bhvit-micro", ["regularization.from=0.9", "teacher.data.samples_per_class=null"])
    assert recipe.regularization.from_ == 0.9
    assert recipe.to_dict()["regularization"] == {"weight_oscillation": 0.1, "from": 0.9}
    (tmp_path / "copy.yaml").write_text(recipe.to_yaml())
    assert Recipe.load(tmp_path / "copy.yaml") == recipe
    assert recipe.differences(Recipe.load("bhvit-micro"))[0] == "regularization.from"
