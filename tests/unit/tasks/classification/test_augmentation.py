"""timm's policies at every strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bitvit.program import Preprocessing
from bitvit.tasks import Augmentation
from bitvit.tasks.classification.augmentation import training_transform
from bitvit.training.seeding import isolated_randomness

POLICIES = (
    *("rand-m9-mstd0.5-inc1", "rand-m10", "rand-m10-inc1", "rand-m10-n15-p1-inc1", "rand-m0-n15-p1", "rand-m10-n15-p1"),
    *("original", "originalr", "v0", "v0r", "3a", "augmix-m10-w3"),
)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("policy", POLICIES)
def test_no_strength_of_a_policy_fails(policy: str, mode: str) -> None:
    """Pillow 12 refuses to keep 0 bits of a value, which timm asks for at full strength."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)).convert(mode)
    channels = len(image.getbands())
    preprocessing = Preprocessing((16, 16), 16, mean=(0.5,) * channels, std=(0.5,) * channels, channels=channels)
    transform = training_transform(Augmentation(auto_augment=policy), preprocessing)
    with isolated_randomness("policies"):
        for _ in range(25):
            pixels = transform(image)
            assert pixels.shape == (channels, 16, 16)
            assert torch.isfinite(pixels).all()
