"""A new family is one file and its name in the registry: listed, trained, distilled, counted, packed and run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bitvit
import bitvit.models
from bitvit.checkpoints import load_checkpoint
from bitvit.cli import main
from bitvit.complexity import complexity, file_complexity
from bitvit.models import list_models, registry
from bitvit.models.entrypoints import REGISTERED
from bitvit.program import Interpreter, read_file
from bitvit.runtime import available_isas
from bitvit.training import train
from tests.support import own_families
from tests.support.tiny_training import tiny_recipe

NAME = "test_pooling_mixer"


@pytest.fixture(scope="module")
def family() -> Iterator[str]:
    """Make a file a module of `bitvit.models`, as if it lay in that folder, and add its name to the families."""
    folder = str(Path(own_families.__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitvit.models, "__path__", [*bitvit.models.__path__, folder])
        patch.setattr(registry, "_FAMILIES", (*registry._FAMILIES, "pooling_mixer"))
        registry.register()
        yield NAME
        REGISTERED.pop(NAME)


@pytest.mark.parametrize("tied", ["blocks", "weights"])
def test_tied_weights(family: str, tied: str, tmp_path: Path) -> None:
    """Saved, resumed, packed and run: safetensors refuses shared memory, and fx sees a shared module twice."""
    recipe = tiny_recipe(
        tmp_path / "data",
        model__name=family,
        model__kwargs={"tied": tied},
        model__init="scratch",
        distillation__kind="none",
        stage1__epochs=1,
        stage2__epochs=1,
    )
    report = train(recipe, tmp_path / "run")
    assert train(recipe, tmp_path / "run", resume=True).to_dict() == report.to_dict()
    out = tmp_path / "tied.bitvit"
    assert main(["export", str(tmp_path / "run"), str(out)]) == 0
    file = read_file(out)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    expected = Interpreter(file.program, file.tensors).run(images)
    assert bitvit.load(out).logits(images).tobytes() == expected.tobytes()
    model, _ = load_checkpoint(tmp_path / "run")
    first, second = (block.mlp.expand.linear.weight for block in model.blocks)
    assert first is second


def test_a_family_of_ones_own(family: str, tmp_path: Path) -> None:
    assert family in list_models("test_*", packable=True)
    recipe = tiny_recipe(
        tmp_path / "data",
        model__name=family,
        model__kwargs={"channels": 28},
        model__init="scratch",
        distillation__kind="soft",
    )
    report = train(recipe, tmp_path / "run")
    assert report.final.evaluation.images == 6
    out = tmp_path / "mixer.bitvit"
    assert main(["export", str(tmp_path / "run"), str(out)]) == 0
    counted = complexity(family, channels=28, num_classes=3)
    assert counted.total.charge.bops > 0
    assert counted.uncounted == ["the model itself (PoolingMixer)"]
    assert file_complexity(out).total.size_bytes > 0
    file = read_file(out)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    expected = Interpreter(file.program, file.tensors).run(images)
    assert np.ptp(expected, axis=0).max() > 0
    for isa in available_isas():
        found = bitvit.load(out, isa=isa).logits(images)
        assert found.tobytes() == expected.tobytes(), isa
