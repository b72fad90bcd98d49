"""The explicit calibration pass."""

import pytest
import torch
from torch import nn

from bitvit.errors import BitvitError
from bitvit.layers import BinaryAttention, CalibrationError, calibrate
from bitvit.models import create_model, set_stage
from bitvit.quantizers import GsbAttention, LearnedSign, fit_attention_scales, fit_sign_scale
from bitvit.quantizers.gsb_attention import alive


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def student(**kwargs: object) -> nn.Module:
    torch.manual_seed(1)
    return create_model("test_gsb_deit", **kwargs)


def test_every_scale_is_set_from_its_layers_input(images: torch.Tensor) -> None:
    model = student()
    calibrate(model, images)
    seen: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, (LearnedSign, GsbAttention)):
            module.register_forward_pre_hook(lambda _m, inputs, name=name: seen.update({name: inputs[0]}))
    model.eval()(images)
    for name, module in model.named_modules():
        if isinstance(module, LearnedSign) and not module.rounds:
            torch.testing.assert_close(module.scale, fit_sign_scale(seen[name]), msg=name)
        if isinstance(module, GsbAttention):
            fitted = fit_attention_scales(seen[name], module.factors)
            torch.testing.assert_close(module.scales, alive(fitted), msg=name)
            assert (module.scales[1:] >= 0.25 * module.scales[0]).all()


def test_calibration_is_repeatable_and_leaves_modes_and_weights_alone(images: torch.Tensor) -> None:
    model = student()
    model.train()
    model.get_submodule("blocks.0").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    calibrate(model, images)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    calibrate(model, images)
    assert all(first[name].equal(value) for name, value in model.state_dict().items())
    changed = {name for name in before if not before[name].equal(first[name])}
    assert changed
    assert all("base_" in name for name in changed)
    assert model.training
    assert not model.get_submodule("blocks.0").training
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_calibration_lowers_the_attentions_error(images: torch.Tensor) -> None:
    model = student().eval()
    calibrate(model, images)
    block = model.get_submodule("blocks.1.attn")
    assert isinstance(block, BinaryAttention)
    errors: list[float] = []
    block.attention.register_forward_hook(lambda _m, i, o: errors.append(float((i[0] - o[0]).square().sum())))
    with torch.no_grad():
        model(images)
        block.attention.scales = 10 * block.attention.scales
        model(images)
    assert errors[0] < errors[1]


def test_stage_1_cannot_be_calibrated(images: torch.Tensor) -> None:
    model = student()
    set_stage(model, "weights")
    with pytest.raises(CalibrationError, match="stage 2"):
        calibrate(model, images)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("bad", [torch.zeros(0, 3, 16, 16), torch.full((2, 3, 16, 16), float("nan"))])
def test_bad_images_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(BitvitError):
        calibrate(student(), bad)


def test_constant_images_give_finite_scales() -> None:
    model = student()
    calibrate(model, torch.zeros(2, 3, 16, 16))
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert bool(torch.isfinite(model.eval()(torch.zeros(1, 3, 16, 16))).all())
