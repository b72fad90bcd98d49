"""From a model's description to the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.checkpoints import ModelError, ModelSpec, build_model, preprocessing_for


@pytest.mark.parametrize("name", ["resnet10t", "resnet18_micro_128", "test_resnet", "deit_micro_distilled_patch8_32"])
def test_networks_of_any_kind_take_the_images_of_the_size_that_is_asked_for(name: str) -> None:
    model = build_model(ModelSpec(name, 3, 96))
    assert preprocessing_for(model).image_size == (96, 96)


def test_an_argument_that_a_network_does_not_take_is_named() -> None:
    with pytest.raises(ModelError, match=r"'resnet10t' cannot be built .*'no_such'"):
        build_model(ModelSpec("resnet10t", 3, 96, None, {"no_such": 1}))


@pytest.mark.parametrize("name", ["test_gsb_deit", "test_vit", "resnet10t"])
@pytest.mark.parametrize(
    "key",
    ["checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "cache_dir"],
)
def test_what_would_load_files_is_refused(tmp_path: Path, name: str, key: str) -> None:
    # A description may come from anybody: in it, a path would be read with pickle by some versions of timm.
    with pytest.raises(ModelError, match=f"{key} is no argument of the network"):
        build_model(ModelSpec(name, 3, kwargs={key: str(tmp_path / "weights.pth")}))
