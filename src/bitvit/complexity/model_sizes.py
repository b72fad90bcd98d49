"""Sizes of the registered models."""

from __future__ import annotations

from typing import Any

import torch

from bitvit.layers import is_binary
from bitvit.models import create_model


def parameter_counts(name: str) -> dict[str, Any]:
    """Return a registered model's `input_size`, `parameters`, and how many of them are `binary_parameters`."""
    with torch.device("meta"):
        model = create_model(name)
    config = getattr(model, "pretrained_cfg", {})
    return {
        "input_size": list(config.get("input_size", (3, 224, 224))),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "binary_parameters": sum(
            module.get_parameter("weight").numel() for module in model.modules() if is_binary(module)
        ),
    }
