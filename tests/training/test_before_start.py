"""What is certain to fail later is refused before the first phase, and leaves no run behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from bitvit.checkpoints import CheckpointError, ModelError, load_checkpoint
from bitvit.data import Data, DataError, ImageSet
from bitvit.data.image_set import ArraySource
from bitvit.errors import BitvitError
from bitvit.export import PackedModel
from bitvit.program.errors import SizeLimitError
from bitvit.training import EpochRecord, Recipe, RecipeError, Run, train
from tests.support.tiny_training import tiny_recipe


def refused(recipe: object, out: Path, data: Data | None = None) -> str:
    """Return the one line with which a run is refused, before any epoch and before its folder is made."""
    epochs: list[EpochRecord] = []
    with pytest.raises(BitvitError) as caught:
        train(recipe, out, data=data, on_epoch=epochs.append)  # type: ignore[arg-type]
    assert epochs == []
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stage2__optimizer": "no_such"}, "stage2.optimizer: timm has no usable optimizer 'no_such'"),
        ({"stage1__optimizer": "lookahead_nothing"}, "stage1.optimizer"),
        ({"teacher__model": "deit_test_odd_distilled_patch5_20"}, "model.init: the teacher's"),
        ({"teacher__model": "deit_test_odd_distilled_patch5_20", "model__init": "scratch"}, "images of"),
        ({"augmentation__auto_augment": "no-such-policy"}, "augmentation.auto_augment: 'no-such-policy'"),
        ({"distillation__distribution": 1.0}, "only Q-ViT"),
        ({"batch_size": 64}, "more than the 12 training images"),
    ],
    ids=str,
)
def test_recipes_that_would_fail_in_a_later_phase(tmp_path: Path, overrides: dict[str, object], message: str) -> None:
    assert message in refused(tiny_recipe(tmp_path / "data", **overrides), tmp_path / "run")


@pytest.mark.parametrize("changes", [{}, {"model.image_size": 256}, {"teacher.model": "test_resnet"}])
def test_the_recipe_for_photos_can_be_started_with_few_of_them(tmp_path: Path, changes: dict[str, object]) -> None:
    recipe = Recipe.load("bhvit-micro-128", changes)
    Run(recipe, tmp_path / "run", data=own_images(["a", "b"], 80)).check()


def test_unknown_tasks_and_their_unknown_keys(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"task\.name: unknown task 'detection'"):
        tiny_recipe(tmp_path / "data", task__name="detection")
    with pytest.raises(RecipeError, match=r"unknown key 'task\.dice'"):
        tiny_recipe(tmp_path / "data", task__dice=0.5)


def own_images(labels: list[str], size: int = 8) -> Data:
    images = np.random.default_rng(0).integers(0, 256, (4 * len(labels), size, size, 3), np.uint8)
    whole = ImageSet.whole(ArraySource(images, "made"), [i % len(labels) for i in range(len(images))], labels)
    return Data("made", whole, whole)


def test_class_names_that_no_file_can_hold(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data")
    assert r"class name 'b\udcff' is not valid UTF-8" in refused(recipe, tmp_path / "run", own_images(["a", "b\udcff"]))


def test_a_student_that_cannot_be_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(tmp_path / "data", model__image_size=24, teacher__model="deit_test_distilled_patch4_16")
    tried: list[tuple[int, int]] = []

    def too_large(packed: PackedModel) -> object:
        tried.append(packed.image_size)
        raise SizeLimitError("value 'scores' has 300000000 elements, at most 268435456 are allowed")

    with monkeypatch.context() as patch:
        patch.setattr("bitvit.training.preflight.build_program", too_large)
        message = refused(recipe, tmp_path / "run")
    assert tried == [(24, 24)]
    assert "at 24 x 24 cannot be exported to a .bitvit file: value 'scores'" in message
    Run(recipe, tmp_path / "run").check()


def test_folds_beyond_the_smallest_class(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", data__folds=5, data__fold=0)
    with pytest.raises(DataError, match=r"class '\d' has \d images, too few for 5 folds"):
        Run(recipe, tmp_path / "run")


SHORT = {"stage1__epochs": 0, "stage2__epochs": 1, "teacher__epochs": 0, "teacher__warmup_epochs": 0}


def teacher_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    state = timm.create_model("deit_test_distilled_patch4_16", num_classes=3).state_dict()
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("suffix", ["pth", "bin", "pt", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod.model."])
def test_teacher_files_of_all_usual_forms(tmp_path: Path, suffix: str, prefix: str) -> None:
    path = tmp_path / f"teacher.{suffix}"
    state = {prefix + name: value for name, value in teacher_state().items()}
    if suffix == "safetensors":
        save_file(state, str(path))
    else:
        wrapper = {"pth": "state_dict", "bin": None, "pt": "model"}[suffix]
        torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, path)
    notes: list[str] = []
    report = train(
        tiny_recipe(tmp_path / "data", **SHORT, teacher__weights=str(path)), tmp_path / "run", note=notes.append
    )
    assert [phase.phase for phase in report.phases] == ["teacher", "stage2"]
    assert report.phases[0].evaluation.doubt() is not None
    line = next(warning for warning in report.warnings if warning.startswith(f"the teacher {path}"))
    assert "guessing" in line and f"warning: {line}" in notes


def test_a_folder_without_a_finished_teacher(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "recipe.yaml").write_text("name: x\n")
    recipe = tiny_recipe(tmp_path / "data", **SHORT, teacher__weights=str(tmp_path / "killed"))
    with pytest.raises(CheckpointError, match=r"killed: holds neither .* no training has ended there"):
        train(recipe, tmp_path / "run")


class Attack:
    """Unpickled without restrictions, it raises."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("pickled code was run",)


def test_teacher_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "teacher.pth"
    recipe = tiny_recipe(tmp_path / "data", **SHORT, teacher__weights=str(path))

    def message() -> str:
        with pytest.raises((CheckpointError, RecipeError, ModelError)) as caught:
            train(recipe, tmp_path / "run", resume=True)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    torch.save({"state_dict": Attack()}, path)
    assert "save its state_dict" in message()
    assert not (tmp_path / "run").exists(), "a run that cannot start leaves no folder"
    state = teacher_state()
    state["blocks.0.attn.qkv.weight"][0, 0] = float("nan")
    torch.save(state, path)
    assert "NaN or infinity in 1 tensors, such as blocks.0.attn.qkv.weight" in message()
    torch.save(timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=3).state_dict(), path)
    assert "holds another model" in message()
    torch.save(timm.create_model("resnet18", num_classes=3).state_dict(), path)
    assert "holds another model" in message()
    torch.save({name: value.to(torch.int8) for name, value in teacher_state().items()}, path)
    assert "is int8, a network's weights are floating-point numbers: a quantized checkpoint" in message()
    recipe = tiny_recipe(tmp_path / "data", **SHORT, teacher__weights=str(path.rename(tmp_path / "digits.bitvit")))
    with pytest.raises(CheckpointError, match=r"digits\.bitvit is a packed network, which cannot be trained from"):
        train(recipe, tmp_path / "another run")


def test_labels_of_the_teacher_are_compared(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **{**SHORT, "teacher__epochs": 1})
    train(recipe, tmp_path / "first", data=own_images(["a", "b", "c"]))
    second = tiny_recipe(tmp_path / "data", **SHORT, teacher__weights=str(tmp_path / "first"))
    assert "same classes in another order ('b' where the data set has 'c')" in refused(
        second, tmp_path / "second", own_images(["a", "c", "b"])
    )
    assert "trained for other classes" in refused(second, tmp_path / "second", own_images(["a", "b", "d"]))


@pytest.mark.parametrize("channels", [1, 4])
def test_a_teacher_of_rgb_images_for_other_channels(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "teacher.pth"
    state = teacher_state()
    torch.save(state, path)
    recipe = tiny_recipe(
        tmp_path / "data", **SHORT, teacher__weights=str(path), data__channels=channels, augmentation__color_jitter=0.0
    )
    train(recipe, tmp_path / "run")
    adapted = load_checkpoint(tmp_path / "run" / "teacher.safetensors")[0].state_dict()["patch_embed.proj.weight"]
    rgb = state["patch_embed.proj.weight"]
    # As timm adapts it: a grey image has all three colours; with four channels the weights repeat, times 3/4.
    wanted = rgb.sum(1, keepdim=True) if channels == 1 else rgb[:, [0, 1, 2, 0]] * 0.75
    torch.testing.assert_close(adapted, wanted)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize("key", ["augmentation__mixup", "stage2__learning_rate", "stage1__weight_decay"])
def test_numbers_that_are_not_finite(tmp_path: Path, key: str, value: float) -> None:
    with pytest.raises(RecipeError, match="must be a finite number"):
        tiny_recipe(tmp_path / "data", **{key: value})
