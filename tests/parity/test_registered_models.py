"""Every model that `bitvit models` lists, at its own size: trained forward and backward, packed, measured and run.

The tiny `test_*` models go through the same and more (several threads, agreement with PyTorch) in
test_packed_models.py; other image sizes are at the end of this file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitvit.complexity import complexity, file_complexity
from bitvit.export import build_program, default_preprocessing, pack
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models
from bitvit.program import BitvitFile, Interpreter, write_file
from bitvit.runtime import Engine, available_isas
from tests.support.random_models import Images, perturb, random_images

BINARY = [name for name in list_models(packable=True) if not name.startswith("deit_")]
COUNT = 3  # images; other batches: test_packed_models.py, whose networks are smaller
TEACHERS = [name for name in list_models() if name.startswith("deit_")]


def _losses(model: nn.Module, images: Images) -> torch.Tensor:
    """A loss of all heads, in training mode."""
    outputs = model.train()(images.normalized)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.stack([head.log_softmax(dim=1)[:, 0].mean() for head in heads]).sum()


def _check_gradients(model: nn.Module, images: Images) -> None:
    _losses(model, images).backward()  # type: ignore[no-untyped-call]
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
    wrong = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    assert wrong == []
    assert sum(float(p.grad.abs().sum()) > 0 for p in model.parameters() if p.grad is not None) > 10
    model.zero_grad()


def _check_packed(model: nn.Module, images: Images, path: Path) -> None:
    """Engine and interpreter agree to the bit in batches of all and of 1; the file has the size that was counted."""
    packed = pack(model.eval())
    program, tensors = build_program(packed)
    reference = Interpreter(program, tensors).run(images.bytes)
    assert np.isfinite(reference).all()
    for isa in available_isas():
        engine = Engine(program, tensors, isa=isa)
        for n in (len(images.bytes), 1):
            found = engine.run(images.bytes[:n])
            np.testing.assert_array_equal(found.view(np.uint32), reference[:n].view(np.uint32), f"{isa}, batch {n}")

    labels = [str(number) for number in range(reference.shape[1])]
    write_file(path, BitvitFile(program, tensors, default_preprocessing(packed), labels, {}))
    counted = complexity(model)
    assert counted.uncounted == []
    assert counted.file_bytes == path.stat().st_size
    assert counted.total.packed_bytes == file_complexity(path).total.size_bytes


def test_all_families_are_here() -> None:
    families = {name.split("_")[0] for name in BINARY}
    assert families >= {"gsb", "binary", "binaryvit", "reactdeit", "bhvit"}


@pytest.mark.parametrize("name", BINARY)
def test_registered_model(name: str, tmp_path: Path) -> None:
    model = create_model(name)
    perturb(model, seed=3)
    images = random_images(model, COUNT, seed=4)
    calibrate(model, images.normalized)
    _check_gradients(model, images)
    _check_packed(model, images, tmp_path / "model.bitvit")


@pytest.mark.parametrize("name", TEACHERS)
def test_registered_teacher(name: str) -> None:
    model = create_model(name)
    _check_gradients(model, random_images(model, count=2, seed=5))


# Legal sizes beside the registered one. BinaryViT: multiples of 32 (micro: 16); BHViT: of 224 (micro: 32), for its
# windows; ReActDeiT with pyramid and the plain transformers: of the patch.
SIZES = [
    ("gsb_deit_micro_patch8_32", 48),
    ("binary_deit_micro_patch4_32", 20),
    ("reactdeit_micro_patch4_32", 24),
    ("binaryvit_micro_patch2_32", 16),
    ("binaryvit_micro_patch2_32", 48),
    ("binaryvit_small_patch4_224", 96),
    ("bhvit_micro_patch2_32", 64),
    ("gsb_deit_tiny_patch16_224", 112),
]


@pytest.mark.parametrize(("name", "size"), SIZES, ids=[f"{name}-{size}" for name, size in SIZES])
def test_other_image_sizes(name: str, size: int, tmp_path: Path) -> None:
    model = create_model(name, img_size=size)
    perturb(model, seed=6)
    images = random_images(model, COUNT, seed=7, size=size)
    calibrate(model, images.normalized)
    _check_gradients(model, images)
    _check_packed(model, images, tmp_path / "model.bitvit")
