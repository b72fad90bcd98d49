"""`runtime.compile`: the same training step, whatever Inductor makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bitvit.layers import calibrate
from bitvit.models import create_model, set_stage
from bitvit.training import TrainingError
from bitvit.training.compilation import check_compiled, compile_for_training


def test_a_compiled_step_is_the_same_step() -> None:
    torch.manual_seed(0)
    model = create_model(
        "test_gsb_deit", num_classes=5, depth=1
    ).double()  # rounding must not move a value over a threshold
    channels, height, width = vars(model)["pretrained_cfg"]["input_size"]
    images = torch.randn(3, channels, height, width, dtype=torch.float64)
    set_stage(model, "full")
    calibrate(model, images)
    with torch.no_grad():
        for value in model.parameters():  # calibrated scales are where uniform attention is: rounding would decide
            value.mul_(1 + 0.1 * torch.rand_like(value)).add_(1e-3 * torch.rand_like(value))
    model.train()
    names = list(model.state_dict())
    steps = []
    for compiles in (False, True):
        if compiles:
            compile_for_training(model)
        model.zero_grad()
        outputs = model(images)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        torch.autograd.backward(torch.stack([logits.square().sum() for logits in outputs]).sum())
        gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
        steps.append((outputs, gradients))
    assert list(model.state_dict()) == names, "checkpoints of compiled and plain runs are interchangeable"
    assert len(steps[0][1]) > 15
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-9, atol=1e-9)


def test_a_compiler_that_loses_gradients_is_found_out() -> None:
    """As PyTorch 2.11 does with binary layers."""
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).train()
    images, before = torch.randn(5, 4), {name: value.clone() for name, value in model.state_dict().items()}
    vars(model)["_compiled_call_impl"] = lambda x: model[2](model[:2](x).detach())
    with pytest.raises(TrainingError, match=r"1 of 6 weights .* get no gradient; set runtime\.compile=false"):
        check_compiled(model, images)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    vars(model)["_compiled_call_impl"] = model.forward
    check_compiled(model, images)
