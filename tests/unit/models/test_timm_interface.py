"""Every registered network does what users of timm expect of a network."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers import calibrate
from bitvit.layers.quant_linear import QuantLinear
from bitvit.models import create_model, list_models
from bitvit.quantizers.gsb_attention import GsbAttention, resampled_tokens

NAMES = list_models("test_*") + list_models("deit_test_*")
# One of each family, and the choices that matter to a test which takes longer.
FAMILIES = ["test_gsb_deit", "test_binary_deit", "test_binaryvit", "test_reactdeit", "test_bhvit", "test_qvit2_deit"]
every_network = pytest.mark.parametrize("name", NAMES)


def made(name: str, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return create_model(name, **kwargs)


def images_for(model: Any, count: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(count, *model.pretrained_cfg["input_size"])


def heads(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def gradients(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    torch.manual_seed(2)  # of dropout
    torch.stack([head.square().mean() for head in heads(model(images))]).sum().backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


@every_network
def test_features_and_head(name: str) -> None:
    model = made(name).eval()
    images = images_for(model)
    features = model.forward_features(images)
    torch.testing.assert_close(model.forward_head(features), model(images))
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.head_hidden_size)
    bare = made(name, num_classes=0).eval()
    assert bare.num_classes == 0
    assert bare(images).shape == (2, model.num_features)


@every_network
def test_the_classifier_is_replaced(name: str) -> None:
    model = made(name).eval()
    images = images_for(model)
    before = type(model.get_classifier()) if not isinstance(model.get_classifier(), tuple) else None
    for classes in (5, 0, 3):
        model.reset_classifier(classes)
        assert model.num_classes == classes
        assert model(images).shape == (2, classes or model.num_features)
    if before is not None:
        assert type(model.get_classifier()) is before
    assert all(head.shape == (2, 3) for head in heads(model.train()(images)))


@pytest.mark.parametrize("name", ["test_gsb_deit", "test_binary_deit_odd", "test_gsb_deit_single"])
def test_new_heads_have_the_bits_of_the_scheme(name: str) -> None:
    model = made(name)
    old = [
        module for key, module in model.named_children() if key.startswith("head") and isinstance(module, QuantLinear)
    ]
    model.reset_classifier(4)
    new = [
        module for key, module in model.named_children() if key.startswith("head") and isinstance(module, QuantLinear)
    ]
    assert len(new) == len(old) > 0
    assert [type(module.weight_quantizer) for module in new] == [type(module.weight_quantizer) for module in old]
    real = made("test_gsb_deit_float_ends")
    real.reset_classifier(4)
    assert type(real.head) is nn.Linear


@every_network
def test_feature_maps(name: str) -> None:
    whole = made(name).eval()
    images = images_for(whole)
    model = made(name, features_only=True).eval()
    maps = model(images)
    assert len(maps) == len(model.feature_info.channels()) > 0
    for found, channels, reduction in zip(
        maps, model.feature_info.channels(), model.feature_info.reduction(), strict=True
    ):
        assert found.shape == (2, channels, images.shape[2] // reduction, images.shape[3] // reduction)
    (last,) = made(name, features_only=True, out_indices=(-1,)).eval()(images)
    torch.testing.assert_close(last, maps[-1])


@pytest.mark.parametrize(
    "name", ["test_gsb_deit", "test_binaryvit", "test_bhvit", "test_reactdeit", "test_reactdeit_avg"]
)
def test_intermediate_maps(name: str) -> None:
    model = made(name).eval()
    images = images_for(model)
    final, maps = model.forward_intermediates(images)
    torch.testing.assert_close(final, model.forward_features(images))
    (last,) = model.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)
    assert last.shape == maps[-1].shape
    assert len(model.forward_intermediates(images, indices=[0], stop_early=True, intermediates_only=True)) == 1
    with pytest.raises((UsageError, AssertionError)):
        model.forward_intermediates(images, indices=[9])


@every_network
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_of_the_images(name: str, channels: int) -> None:
    model = made(name, in_chans=channels).eval()
    assert model.pretrained_cfg["input_size"][0] == channels
    assert torch.isfinite(model(images_for(model))).all()


@every_network
def test_size_of_the_images(name: str) -> None:
    size = made(name).pretrained_cfg["input_size"][1]
    larger = made(name, img_size=2 * size).eval()
    assert larger(images_for(larger)).shape == (2, larger.num_classes)
    model = made(name).eval()
    count = sum(value.numel() for value in model.parameters())
    model.set_input_size(img_size=(2 * size, 2 * size))
    if not name.startswith(("deit_test", "test_qvit")):  # there it is timm's own method, which leaves this as it was
        assert model.pretrained_cfg["input_size"] == (3, 2 * size, 2 * size)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert shapes == {key: value.shape for key, value in larger.state_dict().items()}
    images = images_for(larger)
    assert torch.isfinite(model(images)).all()
    assert not gradients(model.train(), images).keys() ^ gradients(larger.train(), images).keys()
    model.set_input_size(img_size=size)
    assert count == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize("name", ["test_gsb_deit", "test_gsb_deit_row_offset", "test_gsb_deit_many_components"])
def test_offsets_follow_the_tokens(name: str) -> None:
    model = made(name)
    layers = [module for module in model.modules() if isinstance(module, GsbAttention)]
    for layer in layers:
        assert layer.offset is not None
        layer.offset.data.fill_(0.25)
    before, scales = layers[0].num_tokens, layers[0].scales.detach().clone()
    size = model.pretrained_cfg["input_size"][1]
    model.set_input_size(img_size=2 * size)
    after = layers[0].num_tokens
    assert after == 4 * (before - model.num_prefix_tokens) + model.num_prefix_tokens
    for layer in layers:
        assert layer.offset is not None
        torch.testing.assert_close(layer.offset.detach(), torch.full_like(layer.offset, 0.25 * before / after))
    torch.testing.assert_close(layers[0].scales.detach(), scales * before / after)
    with pytest.raises(UsageError, match="patches of a binary network are fixed"):
        model.set_input_size(patch_size=8)


def test_tokens_are_resampled_as_maps() -> None:
    rows = torch.arange(3.0)[:, None].expand(3, 2).reshape(-1)  # a map of 3 x 2 that rises from row to row
    values = torch.cat([torch.tensor([7.0]), rows])[None].expand(2, -1)
    found = resampled_tokens(values, 1, (3, 2), (6, 4), 1)
    assert found.shape == (2, 25)
    assert (found[:, 0] == 7).all()
    grid = found[0, 1:].reshape(6, 4)
    torch.testing.assert_close(grid, grid[:, :1].expand(6, 4))
    torch.testing.assert_close(grid[:, 0], torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.0]))
    torch.testing.assert_close(resampled_tokens(values.T, 0, (3, 2), (6, 4), 1), found.T)


@pytest.mark.parametrize("name", ["test_bhvit", "test_binaryvit_odd", "test_reactdeit"])
def test_sizes_that_do_not_fit_are_refused(name: str) -> None:
    model = made(name)
    size = model.pretrained_cfg["input_size"][1]
    with pytest.raises(UsageError, match=r"does not suit this network|cannot be cut"):
        model.set_input_size(img_size=size + 1)
    with pytest.raises(UsageError, match="patches of a binary network are fixed"):
        model.set_input_size(patch_size=2)


@every_network
def test_checkpointed_gradients_are_the_same(name: str) -> None:
    model = made(name).train()
    images = images_for(model, 4)
    plain = gradients(model, images)
    model.set_grad_checkpointing()
    torch.testing.assert_close(gradients(model, images), plain, rtol=1e-4, atol=1e-6)
    model.set_grad_checkpointing(False)
    assert not model.grad_checkpointing


@every_network
def test_dropout_of_the_head(name: str) -> None:
    model = made(name, drop_rate=0.5)
    images = images_for(model, 4)
    first, second = (heads(model.train()(images))[0] for _ in range(2))
    assert not torch.equal(first, second)
    torch.testing.assert_close(model.eval()(images), model(images))


@every_network
def test_copies_and_averages(name: str) -> None:
    model = made(name)
    images = images_for(model)
    calibrate(model, images)
    average = ModelEmaV3(model, decay=0.5)
    average.update(model)
    copies = (copy.deepcopy(model), average.module, pickle.loads(pickle.dumps(model)))
    answer = model.eval()(images)
    for other in copies:
        assert type(other) is type(model)
        torch.testing.assert_close(other.eval()(images), answer)


@every_network
def test_bfloat16(name: str) -> None:
    model = made(name).train()
    images = images_for(model, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = heads(model(images))
    torch.stack([head.float().square().mean() for head in found]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(model.eval()(images).float()).all()


@every_network
def test_parameters_in_groups_by_depth(name: str) -> None:
    model = made(name)
    for coarse in (False, True):
        groups = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
        assert groups.keys() == dict(model.named_parameters()).keys()
        assert len(set(groups.values())) > 2


@every_network
def test_there_are_no_weights_to_download(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: there are no published weights yet"):
        timm.create_model(name, pretrained=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_compiled_networks_answer_the_same(name: str) -> None:
    model = made(name)
    images = images_for(model)
    calibrate(model, images)
    model.eval()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager")
        torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_networks_are_exported_as_graphs(name: str) -> None:
    model = made(name).eval()
    images = images_for(model)
    program = torch.export.export(model, (images,))
    torch.testing.assert_close(program.module()(images), model(images), rtol=1e-4, atol=1e-5)
