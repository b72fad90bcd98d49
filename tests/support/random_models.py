"""Untrained models with parameters away from their initial values, and images that fit them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitvit.models import get_stage, set_stage


@dataclass
class Images:
    """The same images as bytes `[B,H,W,3]` and as the normalized floats `[B,3,H,W]` that a model takes."""

    bytes: npt.NDArray[np.uint8]
    normalized: Tensor


def perturb(model: nn.Module, seed: int) -> None:
    """Move shifts, biases, offsets and norms away from 0 and 1, so that a parameter that is ignored shows."""
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if leaf in ("bias", "shift", "omega", "before", "after", "embedding", "pos_embed"):
                parameter.add_(0.2 * noise(parameter))
            elif leaf == "offset":
                parameter.add_(0.02 * noise(parameter))
            elif leaf == "scale" and ("along_" in name or "affine" in name):
                parameter.add_(0.3 * noise(parameter))
            elif leaf in ("slope", "mix", "share") or (leaf == "weight" and parameter.ndim == 1):
                parameter.mul_(1.0 + 0.3 * noise(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.2 * noise(buffer))
            elif name.endswith("running_var"):
                buffer.mul_(1.0 + noise(buffer).abs())


def random_images(model: nn.Module, count: int, seed: int, size: int | None = None) -> Images:
    """Seeded images of `size`, by default that of the model: noise over a smooth ramp, extremes included."""
    config = model.pretrained_cfg
    _, height, width = (3, size, size) if size else config["input_size"]
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, height * width).reshape(height, width, 1)
    images = (0.5 * ramp + rng.uniform(0, 128, (count, height, width, 3))).astype(np.uint8)
    images[0, : height // 2], images[-1, height // 2 :] = 0, 255
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    return Images(images, (floats - mean) / std)


def assert_stages_switch(model: nn.Module, images: Tensor) -> None:
    """Stage 1 has other activations; going back restores the answer."""
    model.eval()
    with torch.no_grad():
        full = model(images)
        set_stage(model, "weights")
        assert get_stage(model) == "weights"
        assert not torch.equal(model(images), full)
        set_stage(model, "full")
        assert torch.equal(model(images), full)
