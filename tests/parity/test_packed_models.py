"""Every registered test model: PyTorch, PyTorch packed, the NumPy interpreter, and the engine on every instruction set.

Engine and interpreter agree to the bit. PyTorch and the packed forms agree up to rounding, which a sign can amplify:
most images must agree closely, and all packed layers agree on forced inputs (test_packed_layers.py).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bitvit.export import build_program, pack
from bitvit.layers import calibrate
from bitvit.models import create_model, list_models
from bitvit.program import Interpreter
from bitvit.runtime import Engine, available_isas
from tests.support.random_models import perturb, random_images

MODELS = sorted(list_models("test_*", packable=True))


def test_there_are_models_of_every_family() -> None:
    assert len(MODELS) >= 12


@pytest.mark.parametrize("name", MODELS)
def test_engine_equals_interpreter_to_the_bit(name: str) -> None:
    model = create_model(name)
    perturb(model, seed=1)
    images = random_images(model, count=7, seed=2)
    calibrate(model, images.normalized)
    model.eval()
    packed = pack(model)
    with torch.no_grad():
        expected = model(images.normalized).numpy()
        in_torch = packed(torch.from_numpy(images.bytes)).numpy()
    program, tensors = build_program(packed)
    reference = Interpreter(program, tensors).run(images.bytes)

    assert np.isfinite(reference).all()
    # With Phi = mean(A) an untrained class token hardly sees the patches (Table VII); the other models must see them.
    assert np.ptp(reference, axis=0).max() > 0 or name == "test_gsb_deit_mean_offset"
    spread = np.abs(expected).max()
    for other in (expected, in_torch):
        close = np.abs(other - reference).max(axis=1) < 1e-4 * spread
        assert close.mean() > 0.5, (name, np.abs(other - reference).max(axis=1))

    for isa in available_isas():
        for threads in (1, 2):
            engine = Engine(program, tensors, threads=threads, isa=isa)
            for n in (7, 1):
                found = engine.run(images.bytes[:n])
                np.testing.assert_array_equal(
                    found.view(np.uint32), reference[:n].view(np.uint32), f"{name} {isa} {threads} threads batch {n}"
                )
