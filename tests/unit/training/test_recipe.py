"""Recipes: packaged ones, strict parsing, overrides."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bitvit.training import Recipe, RecipeError, packaged_recipes
from bitvit.training.recipe_fingerprint import fingerprint


def test_packaged_recipes_of_gsb_are_the_papers_and_the_small_ones() -> None:
    gsb = [name for name in packaged_recipes() if name.startswith("gsb-")]
    assert gsb == [
        "gsb-chaoyang",
        "gsb-cifar10",
        "gsb-cifar100",
        "gsb-demo",
        "gsb-flowers102",
        "gsb-micro",
        "gsb-release",
    ]


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipe_loads_under_its_name_and_survives_yaml(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name)
    assert recipe.name == name
    path = tmp_path / "copy.yaml"
    path.write_text(recipe.to_yaml())
    assert Recipe.load(path) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("name", "data", "batch_size"),
    [("gsb-cifar100", "cifar100", 128), ("gsb-flowers102", "flowers102", 64), ("gsb-chaoyang", "chaoyang", 64)],
)
def test_papers_recipes_say_what_section_v_says(name: str, data: str, batch_size: int) -> None:
    recipe = Recipe.load(name)
    assert (recipe.data.name, recipe.batch_size, recipe.model.name) == (data, batch_size, "gsb_deit_small_patch16_224")
    assert (recipe.stage1.epochs, recipe.stage2.epochs) == (600, 300)
    for stage in (recipe.stage1, recipe.stage2):
        assert (stage.optimizer, stage.learning_rate, stage.warmup_epochs) == ("adam", 5e-4, 0)
    assert (recipe.distillation.kind, recipe.distillation.weight) == ("hard", 0.5)
    augmentation = recipe.augmentation
    assert (augmentation.mixup, augmentation.cutmix, augmentation.auto_augment) == (0.8, 1.0, "rand-m9-mstd0.5-inc1")
    assert (augmentation.random_erasing, augmentation.label_smoothing) == (0.25, 0.1)


@pytest.mark.parametrize("family", ["bhvit", "binaryvit"])
def test_pyramids_are_trained_on_cifar_as_on_imagenet(family: str) -> None:
    published = Recipe.load(f"{family}-imagenet")
    for classes in (10, 100):
        recipe = Recipe.load(f"{family}-cifar{classes}")
        assert recipe.data.name == f"cifar{classes}"
        same = ("model", "distillation", "augmentation", "regularization", "stage1")
        assert [getattr(recipe, key) for key in same] == [getattr(published, key) for key in same]
        for schedule, like in ((recipe.stage2, published.stage2), (recipe.teacher, published.teacher)):
            rate = like.learning_rate * recipe.batch_size / published.batch_size
            assert (schedule.optimizer, schedule.learning_rate) == (like.optimizer, rate)
            assert schedule.weight_decay == like.weight_decay
    assert (published.regularization.from_ == 0.9) == (family == "bhvit")


def test_the_releases_recipe_differs_from_the_papers_where_the_release_does() -> None:
    paper, release = Recipe.load("gsb-cifar100"), Recipe.load("gsb-release")
    assert (release.augmentation.mixup, release.augmentation.cutmix, release.augmentation.label_smoothing) == (0, 0, 0)
    assert release.model.scheme == {"initial_scales": "release", "gradients": "release", "first_stage": "mlp"}
    for stage in (release.stage1, release.stage2):
        assert (stage.optimizer, stage.weight_decay) == ("adamw", 0.05)
        assert stage.learning_rate == 1e-3 * release.batch_size / 512
    assert set(paper.differences(release)) == {
        "name",
        "augmentation.mixup",
        "augmentation.cutmix",
        "augmentation.label_smoothing",
        *(f"model.scheme.{key}" for key in release.model.scheme),
        *(f"{stage}.{key}" for stage in ("stage1", "stage2") for key in ("optimizer", "learning_rate", "weight_decay")),
    }


def test_overrides_replace_single_values() -> None:
    recipe = Recipe.load(
        "gsb-demo",
        [
            "seed=7",
            "stage1.learning_rate=5e-4",
            "stage2.clip_gradient=null",
            "precision=32",
            "augmentation.scale=[0.5, 1]",
            "model.kwargs.depth=3",
            "model.scheme.components_value=1",
        ],
    )
    assert (recipe.seed, recipe.stage1.learning_rate, recipe.stage2.clip_gradient) == (7, 5e-4, None)
    assert (recipe.precision, recipe.augmentation.scale) == ("32", (0.5, 1.0))
    assert recipe.model.kwargs["depth"] == 3
    assert recipe.model.scheme == {"components_value": 1}
    plain = Recipe.load("gsb-demo")
    assert recipe.stage1.epochs == plain.stage1.epochs
    assert Recipe.load("gsb-demo", {"seed": 7, "data.label_noise": 0.2}).data.label_noise == 0.2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage1.epoch=3", "unknown key 'stage1.epoch' .did you mean 'stage1.epochs'"),
        ("sage1.epochs=3", "unknown key 'sage1'"),
        ("stage1.epochs=3.5", "stage1.epochs: must be an integer, not 3.5"),
        ("stage1.epochs=yes", "stage1.epochs: must be an integer, not True"),
        ("stage1.learning_rate=fast", "stage1.learning_rate: must be a number, not 'fast'"),
        ("stage1.clip_gradient=[1]", "stage1.clip_gradient: must be a number or null"),
        ("distillation.kind=warm", "distillation.kind: must be one of hard, soft, none"),
        ("augmentation.scale=[0.1]", "augmentation.scale: must be a list of 2 numbers"),
        ("augmentation.scale=[0.5, 0.2]", "augmentation.scale"),
        ("stage1=3", "stage1: is a section"),
        ("seed.x=3", "seed.x: 'seed' is a value, not a section"),
        ("stage1.epochs", "not have the form"),
        ("data.name=[", "not a valid YAML value"),
        (
            "data.class_order=[yes, no]",
            r"class_order\[0\]: must be a string, not True: YAML takes yes.*put it in quotes",
        ),
        ("data.class_order=[01, a]", "class_order.0.: must be a string, not 1: .*quotes"),
        ("data.name=2024", "data.name: must be a string, not 2024: .*quotes"),
        ("batch_size=0", "batch_size: must be at least 1"),
        ("stage2.warmup_epochs=1000", "stage2.warmup_epochs"),
        ("distillation.weight=1.5", "distillation.weight"),
        ("ema.decay=1", "ema.decay"),
    ],
)
def test_wrong_overrides_name_the_key(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load("gsb-demo", ["seed=1", override])
    assert "\n" not in str(caught.value)


def test_recipes_that_train_nothing_or_lack_a_teacher_are_refused() -> None:
    with pytest.raises(RecipeError, match="nothing would be trained"):
        Recipe.load("gsb-demo", ["stage1.epochs=0", "stage2.epochs=0"])
    with pytest.raises(RecipeError, match=r"teacher.epochs"):
        Recipe.load("gsb-demo", ["teacher.epochs=0"])
    Recipe.load("gsb-demo", ["teacher.epochs=0", "teacher.weights=some.safetensors"])


def test_first_weights_come_from_one_place() -> None:
    with pytest.raises(RecipeError, match=r"model.weights.*model.init"):
        Recipe.load("gsb-demo", ["model.weights=some.safetensors", "model.init=teacher"])
    recipe = Recipe.load("gsb-demo", ["model.weights=some.safetensors", "model.init=scratch"])
    assert recipe.model.weights == "some.safetensors"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "line 1: not valid YAML .key 'seed' occurs twice"),
        ("- 1\n", "mapping"),
        ("a: [1\n", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_wrong_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        Recipe.load(path)


def test_what_is_wrong_in_a_file_is_said_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("\n# nothing\n")
    with pytest.raises(RecipeError, match=r"own\.yaml: is empty"):
        Recipe.load(path)
    path.write_text("data: {name: digits}\nstage1: {epochs: 1}\nfuture: 3\n")
    with pytest.raises(RecipeError, match=r"own\.yaml: unknown key 'future'"):
        Recipe.load(path, ["seed=3"])
    path.write_text(Recipe.load("gsb-demo").to_yaml())
    with pytest.raises(RecipeError, match=r"^unknown key 'fuutre'"):
        Recipe.load(path, ["fuutre=3"])


def test_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="gsb-demo"):
        Recipe.load("gsb-mirco")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "latin.yaml")


def test_runtime_does_not_count_as_a_difference() -> None:
    recipe = Recipe.load("gsb-demo")
    elsewhere = dataclasses.replace(recipe, runtime=dataclasses.replace(recipe.runtime, workers=4))
    assert recipe.differences(elsewhere) == []
    assert fingerprint(recipe) == fingerprint(elsewhere)
    changed = Recipe.load("gsb-demo", ["stage2.epochs=3", "data.label_noise=0.1", "model.kwargs.drop_path_rate=0.1"])
    assert recipe.differences(changed) == ["data.label_noise", "model.kwargs.drop_path_rate", "stage2.epochs"]
    assert fingerprint(recipe) != fingerprint(changed)
