"""Every segmentation network that can be packed: engine = interpreter bit for bit, and what PyTorch decides.

The networks of `bitvit models` at images that are not square, large enough for several windows and uneven maps; the
tiny `test_*` networks with the scores of every pixel as well, and square.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bitvit.export import build_program, pack
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models
from bitvit.models.semantic_fpn_models import SIZES
from bitvit.program import Interpreter
from bitvit.runtime import Engine, available_isas
from tests.support.random_models import perturb

MODELS = list_models("test_*", packable=True, task="segmentation")
REGISTERED = list_models(packable=True, task="segmentation")


def spread_classes(model: nn.Module, size: tuple[int, int]) -> None:
    """Shift the scores so that every class wins somewhere; else one wins everywhere."""
    with torch.no_grad():
        mean = model(torch.randn(2, 3, *size)).mean(dim=(0, 2, 3))
        model.decoder.classifier.bias -= mean  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_network(name: str) -> None:
    torch.manual_seed(0)
    side = SIZES[name].image_size
    size = (side // 2, side) if side > 64 else (side, 2 * side)
    model = create_model(name, img_size=size)
    perturb(model, 0)
    calibrate(model, torch.randn(1, 3, *size))
    model.eval()
    spread_classes(model, size)
    program, tensors = build_program(pack(model))
    images = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    expected = Interpreter(program, tensors).run(images)
    assert expected.shape == (3, size[0] * size[1])
    assert len(np.unique(expected)) > 2
    for threads in (1, 2):
        for isa in available_isas():
            engine = Engine(program, tensors, threads=threads, isa=isa)
            np.testing.assert_array_equal(engine.run(images), expected, f"{isa}, {threads} threads")
            np.testing.assert_array_equal(engine.run(images[1:2]), expected[1:2], f"{isa}, {threads} threads, 1 image")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("wide", [False, True])
def test_engine_is_the_interpreter_and_decides_as_pytorch(name: str, wide: bool) -> None:
    torch.manual_seed(0)
    height, width = create_model(name).img_size
    size = (height, 2 * width if wide else width)
    model = create_model(name, img_size=size, num_classes=5)
    perturb(model, 0)
    calibrate(model, torch.randn(4, 3, *size))
    model.eval()
    spread_classes(model, size)
    packed = pack(model)
    program, tensors = build_program(packed)
    images = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    interpreter = Interpreter(program, tensors)
    expected = interpreter.run(images)
    assert expected.shape == (3, size[0] * size[1])
    assert len(np.unique(expected)) > 1
    scores = next(op.inputs[0] for op in program.ops if op.op == "argmax_channels")
    values = np.stack([interpreter.values(image)[scores] for image in images])
    for threads in (1, 2):
        for isa in available_isas():
            engine = Engine(program, tensors, threads=threads, isa=isa)
            np.testing.assert_array_equal(engine.run(images), expected)
            np.testing.assert_array_equal(engine.run(images[1:2]), expected[1:2])
            np.testing.assert_array_equal(engine.values(images, [scores])[scores], values)
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (packed.mean, packed.std))
    with torch.no_grad():
        decided = model((torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0 - mean) / std).argmax(1)
        np.testing.assert_array_equal(packed(torch.from_numpy(images)).numpy(), expected)
    assert (decided.numpy().reshape(3, -1) == expected).mean() > 0.98  # rounding moves single pixels at borders
