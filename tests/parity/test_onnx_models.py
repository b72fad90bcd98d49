"""Every registered test model as ONNX, in ONNX Runtime, against the engine; and the packed model in `torch.export`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bitvit.export import build_program, pack, unlabelled_file
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models
from bitvit.program import BitvitFile
from bitvit.program.schema import AnyArray
from bitvit.runtime import Engine
from tests.support.onnx_session import session_of
from tests.support.random_models import perturb, random_images

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from bitvit.interchange import compare_with_engine, to_onnx  # noqa: E402

# Every operator is tested in test_onnx_operators.py, so a network of each family says whether they are put together
# rightly; all others are in `make test-ecosystem`.
OFTEN = {"test_gsb_deit", "test_gsb_deit_learned_value", "test_bhvit", "test_binaryvit", "test_reactdeit"}
OFTEN |= {"test_binary_deit_odd", "test_gsb_deit_odd_fpn"}


def networks(task: str) -> list[object]:
    names = sorted(list_models("test_*", packable=True, task=task))
    return [pytest.param(name, marks=() if name in OFTEN else pytest.mark.ecosystem) for name in names]


def packed_file_of(name: str, size: tuple[int, int] | None = None) -> tuple[BitvitFile, AnyArray]:
    """A network with random weights, and images."""
    torch.manual_seed(1)
    model = create_model(name) if size is None else create_model(name, img_size=size, num_classes=5)
    perturb(model, seed=1)
    images = random_images(model, count=24, seed=2)
    calibrate(model, images.normalized)
    packed = pack(model.eval())
    return unlabelled_file(packed, *build_program(packed), {"model": name}), images.bytes


# Between an image and its logits lie fewer than 64 float roundings in a row that the engine and ONNX Runtime may take
# in another order. An image with a larger difference has a flipped bit somewhere: a number that lay within rounding of
# its threshold. With 24 images of random numbers that is rare, so that one image may have it.
ROUNDING = 64 * 2.0**-23


@pytest.mark.parametrize("name", networks("classification"))
def test_classifier_agrees_with_the_engine(name: str) -> None:
    file, images = packed_file_of(name)
    model = to_onnx(file)
    assert {imported.domain for imported in model.opset_import} == {""}
    expected = Engine(file.program, file.tensors, threads=1).run(images)
    (found,) = session_of(model).run(None, {"images": images})
    limit = ROUNDING * float(np.abs(expected).max())
    differences = np.abs(found - expected.reshape(found.shape)).max(axis=1)
    assert np.sum(differences > limit) <= 1, differences
    agreement = compare_with_engine(model, file, [(images[:7], None), (images[7:], None)], threads=1)
    assert agreement.images == 24
    assert agreement.identical_predictions >= 23 / 24, agreement
    assert agreement.typical_logit_difference is not None and agreement.max_logit_difference is not None
    assert agreement.typical_logit_difference <= np.median(differences)
    assert agreement.max_logit_difference == pytest.approx(differences.max(), abs=limit)


@pytest.mark.parametrize("name", networks("segmentation"))
def test_segmentation_agrees_with_the_engine(name: str) -> None:
    file, images = packed_file_of(name)
    model = to_onnx(file)
    output = session_of(model).get_outputs()[0]
    assert output.name == "classes" and output.shape[0] == "batch"
    assert tuple(output.shape[1:]) == file.preprocessing.image_size
    # Four images; a flipped bit in one of them may change the class of a few of its pixels.
    agreement = compare_with_engine(model, file, [(images[:4], None)], threads=1)
    assert agreement.identical_predictions >= 0.99, agreement


def test_metadata_and_shapes_of_the_file() -> None:
    file, images = packed_file_of("test_gsb_deit")
    session = session_of(to_onnx(file))
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("images", "tensor(uint8)", ["batch", 16, 16, 3])
    stored = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored["labels"]) == file.labels
    assert json.loads(stored["preprocessing"])["image_size"] == [16, 16]
    assert stored["task"] == "classification"
    one, many = (session.run(["logits"], {"images": images[:n]})[0] for n in (1, 5))
    np.testing.assert_array_equal(one[0], many[0])


def test_packed_model_goes_through_torch_export(tmp_path: Path) -> None:
    for name in ("test_gsb_deit", "test_gsb_deit_fpn"):
        torch.manual_seed(0)
        model = create_model(name)
        images = random_images(model, count=3, seed=2)
        calibrate(model, images.normalized)
        packed = pack(model.eval())
        batch = torch.from_numpy(images.bytes)
        exported = torch.export.export(packed, (batch,), strict=False)
        torch.export.save(exported, tmp_path / "net.pt2")
        again = torch.export.load(tmp_path / "net.pt2")
        with torch.no_grad():
            assert torch.equal(again.module()(batch), packed(batch))
