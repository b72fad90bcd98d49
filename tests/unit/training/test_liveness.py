"""What died of a network's quantizers is found and named; Adam's first steps kill nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bitvit.checkpoints import ModelSpec, build_model
from bitvit.layers import calibrate, is_staged
from bitvit.models import set_stage
from bitvit.quantizers import GsbAttention, GsbValue, LearnedRound
from bitvit.training.liveness import Liveness, liveness_of
from bitvit.training.optimization import create_optimizer
from bitvit.training.recipe import Recipe, packaged_recipes

IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    found = build_model(ModelSpec("test_gsb_deit", 10, None, None, {}))
    calibrate(found, IMAGES)
    return found


def found_in(model: nn.Module) -> Liveness:
    found = liveness_of(model, IMAGES)
    assert found is not None
    return found


def test_a_calibrated_network_is_alive(model: nn.Module) -> None:
    model.train()
    found = found_in(model)
    assert model.training
    assert found.warning("stage2") is None
    assert (found.channels, found.dead_channels) == (32 + 10 + 10, 0)
    assert (found.scales, found.planes, found.mlps) == (2 * 6 + 2, 2 * 6, 2)
    assert found.smallest_relative_scale == pytest.approx(1, abs=0.3)
    assert [end.layer for end in found.ends] == ["patch_embed.proj", "head", "head_dist"]
    assert found.ends[0].levels > 20
    assert found.ends[1].input_levels is not None
    assert Liveness.from_dict(found.to_dict()) == found


def test_what_died_is_named(model: nn.Module) -> None:
    values = {name: module for name, module in model.named_modules() if isinstance(module, GsbValue)}
    attention = next(module for module in model.modules() if isinstance(module, GsbAttention))
    with torch.no_grad():
        model.get_parameter("patch_embed.proj.weight")[3] = 0
        values["blocks.1.attn.value"].log_scales[2] = -6.0
        attention.log_scales[0] = math.log(1e-3)
        hidden = model.get_submodule("blocks.0.mlp.fc2.input_quantizer")
        assert isinstance(hidden, LearnedRound)
        hidden.shift.fill_(-100)
    found = found_in(model)
    assert found.dead_channels == 1
    assert "blocks.1.attn.value.scales[2]" in found.dead_planes
    assert "blocks.0.attn.attention.scales[0]" in found.dead_planes
    assert found.dead_mlps == ("blocks.0.mlp",)
    line = found.warning("stage2")
    assert line is not None
    assert "\n" not in line
    assert "1 of 32 channels of patch_embed.proj" in line
    assert "1 of 2 MLPs (blocks.0.mlp)" in line
    assert "stage2.learning_rate" in line


def test_a_network_without_quantizers_has_nothing_to_report() -> None:
    assert liveness_of(build_model(ModelSpec("deit_test_patch4_16", 10, None, None, {})), IMAGES) is None


def test_in_stage_1_only_the_weights_are_looked_at(model: nn.Module) -> None:
    set_stage(model, "weights")
    found = found_in(model)
    assert (found.scales, found.planes) == (0, 0)
    assert found.channels == 52
    assert found.warning("stage1") is None


@pytest.mark.parametrize(
    "name", ["test_gsb_deit", "test_binary_deit", "test_binaryvit", "test_bhvit", "test_reactdeit"]
)
def test_scales_are_groups_of_their_own(name: str) -> None:
    built = build_model(ModelSpec(name, 10, None, None, {}))
    schedule = Recipe.load("gsb-micro").stage2
    optimizer = create_optimizer(built, "stage2", schedule, "32")
    rates = {
        id(parameter): (group["lr"], group["eps"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert rates.keys() == {id(value) for value in built.parameters() if value.requires_grad}
    for parameter_name, value in built.named_parameters():
        is_log = parameter_name.rpartition(".")[2].startswith("log_")
        is_step = is_log and "head" in parameter_name
        factor = 10 if is_log and not is_step else 1
        assert rates[id(value)][0] == pytest.approx(factor * schedule.learning_rate), parameter_name
        assert rates[id(value)][1] == (1e-15 if is_log else 1e-8)


def _three_steps(model: nn.Module, recipe: Recipe, size: int) -> Liveness:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(2)
    if is_staged(model):
        calibrate(model, images)
    model.train()
    optimizer = create_optimizer(model, "stage2", recipe.stage2, "32", recipe.scales)
    for _ in range(3):
        optimizer.zero_grad()
        output = model(images)
        logits = sum(output) if isinstance(output, tuple) else output
        assert isinstance(logits, torch.Tensor)
        logits = logits.flatten(2).mean(2) if logits.dim() > 2 else logits
        nn.functional.cross_entropy(logits, targets).backward()
        optimizer.step()
    found = liveness_of(model, images)
    return Liveness() if found is None else found


SMALL = {
    "binaryvit_small_patch4_224": "binaryvit_micro_patch2_32",
    "bhvit_small_patch4_224": "bhvit_micro_patch2_32",
    "bhvit_small_fpn_patch4_448": "bhvit_micro_fpn_patch4_64",
}
"""Smaller networks of the same layers, for those that take only large images."""


@pytest.mark.parametrize("name", packaged_recipes())
def test_three_steps_of_adam_kill_nothing(name: str) -> None:
    """At every recipe's own learning rate, with its network on small images; of large ones the first blocks."""
    recipe = Recipe.load(name)
    torch.manual_seed(0)
    kwargs, choice, size = dict(recipe.model.kwargs), recipe.model, recipe.model.image_size
    if choice.name.endswith("patch16_224"):
        kwargs.setdefault("depth", 2)
        size = 64
    model = build_model(ModelSpec(SMALL.get(choice.name, choice.name), 10, size, choice.scheme, kwargs))
    found = _three_steps(model, recipe, model.pretrained_cfg["input_size"][-1])  # type: ignore[index]
    assert found.warning("stage2") is None
    if found.ends:
        assert min(end.levels for end in found.ends) > 25


def test_three_steps_of_adam_kill_nothing_in_deit_small() -> None:
    """A learned step of its own loses 188 of the 384 channels here."""
    recipe = Recipe.load("gsb-flowers102")
    torch.manual_seed(0)
    model = build_model(ModelSpec("gsb_deit_small_patch16_224", 10, 64, None, {}))
    found = _three_steps(model, recipe, 64)
    assert found.warning("stage2") is None
    assert found.channels == 384 + 2 * 10
    assert found.dead_channels == 0
    assert found.ends[0].levels > 150
