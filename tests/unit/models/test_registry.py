"""What holds for every family that can be packed: the tiny models of the registry, each forward and backward."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from bitvit.models import list_models
from tests.support.random_models import perturb

NAMES = list_models("test_*", packable=True)


def tiny(name: str, **arguments: object) -> nn.Module:
    """Return a model with random parameters everywhere, also where training starts with zeros or ones."""
    torch.manual_seed(5)
    model: nn.Module = timm.create_model(name, **arguments)
    perturb(model, 5)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_images_do_not_see_each_other(name: str) -> None:
    model = tiny(name).double().eval()
    images = torch.randn(5, *model.pretrained_cfg["input_size"], dtype=torch.float64)
    with torch.no_grad():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    assert together.shape == (5, model.num_classes)
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    assert together.std(dim=0).min() > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    model = tiny(name, drop_path_rate=0.1).train()
    # BinaryViT's attention level starts at 0.005, below every probability of so few tokens.
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("clip"):
            parameter.data.fill_(0.5)
    outputs = model(torch.randn(3, *model.pretrained_cfg["input_size"]))
    heads = outputs if isinstance(outputs, tuple) else (outputs,)  # of the class and the distillation token
    torch.stack([head.square().sum() for head in heads]).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
