"""Training on a CUDA device: the same gradients as on the CPU, every recipe at its own size, files that pack.

`make test-gpu`, on a machine with such a device. Nothing here runs, or is counted as passed, elsewhere.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bitvit.checkpoints import load_checkpoint
from bitvit.export import export_model
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models, set_stage
from bitvit.training import Recipe, packaged_recipes, train
from bitvit.training.compilation import compile_for_training
from bitvit.training.cuda_graphs import capture_passes, release_passes

pytestmark = pytest.mark.gpu

CLASSES = 5
SMALL = [*list_models("test_*"), *list_models("test_*", task="segmentation")]
ONE_OF_EACH = ["test_gsb_deit", "test_binary_deit", "test_binaryvit", "test_bhvit"]


@pytest.fixture(scope="session", autouse=True)
def device() -> torch.device:
    """The device; without one the tests fail, as nothing else can pass them."""
    assert torch.cuda.is_available(), "make test-gpu needs a CUDA device"
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


def _moved(model: nn.Module) -> None:
    """Move scales away from their calibrated values: uniform attention lies on thresholds, where rounding decides."""
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1 + 0.1 * torch.rand_like(value)).add_(1e-3 * torch.rand_like(value))


def _step(model: nn.Module, images: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    model.zero_grad()
    outputs = model(images)
    heads = list(outputs) if isinstance(outputs, tuple) else [outputs]
    torch.autograd.backward(torch.stack([logits.square().sum() for logits in heads]).sum())
    gradients = {name: value.grad.cpu().clone() for name, value in model.named_parameters() if value.grad is not None}
    return [logits.detach().cpu() for logits in heads], gradients


def _built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = create_model(name, num_classes=CLASSES).double()
    channels, height, width = vars(model)["pretrained_cfg"]["input_size"]
    images = torch.randn(3, channels, height, width, dtype=torch.float64)
    if hasattr(model, "binarization_scheme"):
        set_stage(model, "full")
        calibrate(model, images)
    _moved(model)
    for module in model.modules():  # random masks are drawn anew on another device
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.train(), images


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_those_of_the_cpu(name: str, device: torch.device) -> None:
    """In float64, where no rounding moves a value over a threshold."""
    model, images = _built(name)
    expected = _step(model, images)
    model, images = _built(name)
    found = _step(model.to(device), images.to(device))
    assert len(found[1]) > 5
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_compiled_step_is_the_same_step(name: str, device: torch.device) -> None:
    model, images = _built(name)
    model, images = model.to(device), images.to(device)
    expected = _step(model, images)
    model, _ = _built(name)
    compile_for_training(model.to(device))
    torch.testing.assert_close(_step(model, images), expected, rtol=1e-8, atol=1e-9)


def _photos(folder: Path, n_classes: int, n_images: int) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", n_images), ("val", 4)):
        for label in range(n_classes):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8) // 2 + 40 * label
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")


def _scenes(folder: Path, n_images: int) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", n_images), ("val", 4)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "masks" / split).mkdir(parents=True)
        for index in range(count):
            mask = np.kron(rng.integers(0, 3, (8, 10)), np.ones((8, 8))).astype(np.uint8)
            pixels = (rng.integers(0, 100, (64, 80, 3)) + 60 * mask[..., None]).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / split / f"{index}.png")
            Image.fromarray(mask).save(folder / "masks" / split / f"{index}.png")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder of images and one of scenes."""
    root = tmp_path_factory.mktemp("data")
    _photos(root / "photos", 3, 8)
    _scenes(root / "scenes", 24)
    return {"classification": root / "photos", "segmentation": root / "scenes"}


def _short(name: str, folders: dict[str, Path], **more: Any) -> Recipe:
    """A recipe at its own image size and width, for an epoch of one or two steps in each of its phases."""
    recipe = Recipe.load(name)
    keys: dict[str, Any] = {
        "batch_size": 12,
        "least_steps": 0,
        "data.name": "folder",
        "data.folder": str(folders[recipe.task.name]),
        "data.samples_per_class": None,
        "data.balance": "none",
        "teacher.weights": None,
        "validation.batch_size": 12,
        "runtime.workers": 0,
        "runtime.tensorboard": False,
        "runtime.threads": None,
        "calibration.images": 4,
    }
    for phase in ("teacher", "stage1", "stage2"):
        if getattr(recipe, phase).epochs:
            keys |= {f"{phase}.epochs": 1, f"{phase}.warmup_epochs": 0}
    return Recipe.load(name, {**keys, **more})


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
@pytest.mark.parametrize("name", packaged_recipes())
def test_every_recipe_trains(name: str, precision: str, folders: dict[str, Path], tmp_path: Path) -> None:
    recipe = _short(name, folders, precision=precision)
    report = train(recipe, tmp_path / "run")
    phases = [phase for phase in ("teacher", "stage1", "stage2") if getattr(recipe, phase).epochs]
    assert [phase.phase for phase in report.phases] == [
        phase for phase in phases if phase != "teacher" or recipe.needs_teacher
    ]
    assert all(math.isfinite(phase.evaluation.loss) for phase in report.phases)


# Gradients are compared, not trained networks: two trainings part after the first step, because Adam turns the sign of
# a tiny gradient into a whole step. Weights moved by 1e-7 change the loss of these runs by up to 12 %, on the CPU too.
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_captured_passes_are_the_plain_ones(name: str, device: torch.device) -> None:
    model, images = _built(name)
    model, batches = model.to(device), [images.to(device), 0.5 * images.flip(0).to(device)]
    expected = [_step(model, batch) for batch in batches]
    model, _ = _built(name)
    capture_passes(model.to(device), batches[0])
    found = [_step(model, batch) for batch in batches]
    release_passes(model)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("key", ["compile", "cuda_graphs"])
@pytest.mark.parametrize("name", ["gsb-micro", "binaryvit-micro", "bhvit-micro", "seg-micro"])
def test_faster_passes_train(name: str, key: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Training itself compares the passes with the plain ones first, and stops where they differ."""
    report = train(_short(name, folders, **{f"runtime.{key}": True}), tmp_path)
    assert math.isfinite(report.final.evaluation.loss)


@pytest.mark.parametrize("name", ["gsb-micro", "binaryvit-micro", "bhvit-micro"])
def test_what_was_trained_there_packs(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """A file written on the device gives the CPU's network: every answer is the engine's."""
    recipe = _short(name, folders)
    train(recipe, tmp_path / "run")
    model, info = load_checkpoint(tmp_path / "run")
    height, width = info.preprocessing.image_size
    images = np.random.default_rng(1).integers(0, 256, (32, height, width, 3), dtype=np.uint8)
    report = export_model(
        model,
        tmp_path / "net.bitvit",
        labels=info.labels,
        preprocessing=info.preprocessing,
        images=[(images, [0] * len(images))],
    )
    assert report.identical_predictions is not None
    assert report.identical_predictions >= 0.96


def test_a_run_can_be_resumed(folders: dict[str, Path], tmp_path: Path) -> None:
    """The state that was saved on the device is read there again."""
    recipe = _short("gsb-micro", folders)
    train(recipe, tmp_path / "run")
    longer = _short("gsb-micro", folders, **{"stage2.epochs": 2})
    report = train(longer, tmp_path / "run", resume=True)
    assert report.final.epochs == 2
    assert math.isfinite(report.final.evaluation.loss)
