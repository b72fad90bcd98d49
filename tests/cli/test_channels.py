"""Grey and four-channel networks through data, training, evaluation, export, engine and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import bitvit as package
from bitvit.export import export_model
from bitvit.models import create_model
from bitvit.program import Interpreter, read_file
from bitvit.runtime import available_isas
from tests.support.command import Command

FAMILIES = {
    "test_gsb_deit": ("deit_test_distilled_patch4_16", "teacher"),
    "test_binaryvit": (None, "scratch"),
    "test_bhvit": (None, "scratch"),
}


def save(path: Path, values: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def photos(folder: Path, channels: int) -> Path:
    """Two classes that differ in the last channel only."""
    rng = np.random.default_rng(channels)
    for label, level in (("dark", 40), ("light", 210)):
        for part, count in (("train", 10), ("val", 4)):
            for number in range(count):
                values = rng.integers(0, 256, (40, 50, 4), np.uint8)
                values[..., channels - 1] = rng.integers(level - 20, level + 20, (40, 50))
                save(folder / part / label / f"{number}.png", values[..., 0] if channels == 1 else values)
    return folder


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("model", FAMILIES)
def test_grey_and_four_channels_from_folder_to_prediction(
    bitvit: Command, recipe_file: Path, tmp_path: Path, model: str, channels: int
) -> None:
    teacher, init = FAMILIES[model]
    data = photos(tmp_path / "photos", channels)
    run, file = tmp_path / "run", tmp_path / "net.bitvit"
    choice = [f"model.name={model}", f"data.channels={channels}", "data.samples_per_class=null", "batch_size=8"]
    choice += ["stage2.epochs=2", f"model.init={init}"]
    if teacher is None:
        choice += ["distillation.kind=none"]
    trained = bitvit("train", "--recipe", recipe_file, "--data", data, "--out", run, *choice)
    assert trained.code == 0, trained.err
    judged = bitvit("eval", run, "--json")
    assert judged.code == 0, judged.err
    exported = bitvit("export", run, file, "--json")
    assert exported.code == 0, exported.err
    assert exported.json["identical_predictions"] >= 0.75  # of 8 images; a sign may flip by rounding

    predictor = package.load(file)
    assert predictor.preprocessing.channels == channels
    assert predictor.preprocessing.mean == (0.5,) * channels
    content = read_file(file)
    height, width = predictor.preprocessing.image_size
    images = np.random.default_rng(1).integers(0, 256, (3, height, width, channels), np.uint8)
    expected = Interpreter(content.program, content.tensors).run(images)
    for isa in available_isas():
        np.testing.assert_array_equal(package.load(file, isa=isa).logits(images), expected)

    found = bitvit("predict", file, data / "val", "--json")
    assert (found.code, len(found.json["images"])) == (0, 8)
    assert bitvit("eval", file, "--data", data, "--json").json["top1"] == judged.json["top1"]
    assert {1: "16x16, grey,", 4: "16x16, 4 channels,"}.get(channels, "") in bitvit("info", file).out.replace(
        "32x32", "16x16"
    )
    # A colour photo is made grey, or gets a fourth channel of 255.
    assert predictor.predict(np.zeros((30, 30, 3), np.uint8)).label in ("dark", "light")


def test_every_channel_is_seen(tmp_path: Path) -> None:
    for channels in (1, 4):
        torch.manual_seed(channels)
        path = tmp_path / f"{channels}.bitvit"
        export_model(create_model("test_binaryvit", in_chans=channels), path, labels=[f"class {i}" for i in range(10)])
        predictor = package.load(path)
        height, width = predictor.preprocessing.image_size
        image = np.random.default_rng(channels).integers(0, 256, (height, width, channels), np.uint8)
        reference = predictor.predict(image).logits
        for channel in range(channels):
            changed = image.copy()
            changed[..., channel] = 255 - changed[..., channel]
            assert (predictor.predict(changed).logits != reference).any(), (channels, channel)


def test_colour_augmentation_of_four_channels_is_refused_before_training(
    bitvit: Command, recipe_file: Path, tmp_path: Path
) -> None:
    data = photos(tmp_path / "photos", 4)
    result = bitvit(
        "train", "--recipe", recipe_file, "--data", data, "--out", tmp_path / "run", "data.channels=4",
        "augmentation.color_jitter=0.3", "data.samples_per_class=null",
    )  # fmt: skip
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("error: augmentation.color_jitter: is for grey and RGB images")
    assert not (tmp_path / "run" / "metrics.csv").exists()
