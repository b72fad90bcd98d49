"""Segmentation networks: shapes, sizes that do not fit, gradients, and independence of the batch."""

from __future__ import annotations

import pytest
import torch

from bitvit.checkpoints.weights import copy_weights
from bitvit.errors import UsageError
from bitvit.layers import has_binary_layers, is_staged
from bitvit.layers.semantic_fpn import PatchExpansion
from bitvit.models import create_model, list_models, set_stage
from bitvit.models.semantic_fpn_models import SIZES

TESTS = sorted(name for name in SIZES if name.startswith("test_"))


@pytest.mark.parametrize("name", TESTS)
def test_scores_of_every_pixel_and_gradients_for_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    side = SIZES[name].image_size
    model = create_model(name, num_classes=4).train()
    images = torch.randn(2, 3, side, side)
    scores = model(images)
    assert scores.shape == (2, 4, side, side)
    scores.square().mean().backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing


@pytest.mark.parametrize("name", TESTS)
def test_images_that_are_not_square(name: str) -> None:
    torch.manual_seed(0)
    side = SIZES[name].image_size
    model = create_model(name, img_size=(side, 2 * side)).eval()
    images = torch.randn(3, 3, side, 2 * side)
    with torch.no_grad():
        scores = model(images)
        assert scores.shape == (3, SIZES[name].num_classes, side, 2 * side)
        torch.testing.assert_close(model(images[1:2]), scores[1:2], rtol=1e-4, atol=1e-4)  # sums in another order


@pytest.mark.parametrize("name", TESTS)
def test_stages(name: str) -> None:
    model = create_model(name)
    if not SIZES[name].binary:
        with pytest.raises(UsageError, match="no binary layers"):
            set_stage(model, "full")
        return
    set_stage(model, "weights")
    set_stage(model, "full")


@pytest.mark.parametrize(
    ("name", "size"), [("test_bhvit_fpn", 40), ("test_gsb_deit_fpn", 24), ("test_reactnet_resnet18_fpn", 20)]
)
def test_a_size_that_does_not_fit_is_refused_with_one_that_does(name: str, size: int) -> None:
    with pytest.raises(UsageError, match="multiples of"):
        create_model(name, img_size=size)


def test_one_class_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2 classes"):
        create_model("test_bhvit_fpn", num_classes=1)


def test_names() -> None:
    names = list_models(task="segmentation")
    assert {"bhvit_small_fpn_patch4_448", "binaryvit_small_fpn_patch4_448", "gsb_deit_small_fpn_patch16_448"} <= {
        *names
    }
    assert not any(name.startswith("test_") for name in names)
    assert not any("resnet" in name for name in list_models(task="segmentation", packable=True))
    assert not {*names} & {*list_models()}


def test_patch_expansion_puts_parts_of_the_channels_side_by_side() -> None:
    x = torch.arange(2 * 3 * 8, dtype=torch.float32).reshape(1, 2, 3, 8)
    y = PatchExpansion(2)(x)
    assert y.shape == (1, 4, 6, 2)
    for i in range(2):
        for j in range(2):
            torch.testing.assert_close(y[:, i::2, j::2], x[..., (2 * i + j) * 2 : (2 * i + j + 1) * 2])


@pytest.mark.parametrize("name", [name for name in TESTS if name.endswith("_float")])
def test_a_full_precision_form_gives_its_weights_to_the_binary_network(name: str) -> None:
    torch.manual_seed(0)
    real, binary = create_model(name), create_model(name.removesuffix("_float"))
    assert not is_staged(real)
    assert not has_binary_layers(real)
    assert is_staged(binary)
    copy_weights(real, binary)
    weights = binary.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in real.state_dict().items())
    assert sum(p.numel() for p in real.parameters()) > 0.95 * sum(p.numel() for p in binary.parameters())
