"""Segmentation networks learn a few scenes by heart: gradients reach everything, in full precision and at 1 bit."""

from __future__ import annotations

import pytest
import torch

from bitvit.data.segmentation import compose_scenes
from bitvit.models import create_model
from bitvit.tasks.segmentation.objective import dice_loss, pixel_loss
from bitvit.training.optimization import create_optimizer
from bitvit.training.recipe import Schedule


@pytest.mark.parametrize("name", ["resnet18_micro_fpn_64", "bhvit_micro_fpn_patch4_64"])
def test_a_few_scenes_are_learned_by_heart(name: str) -> None:
    torch.manual_seed(0)
    scenes, _ = compose_scenes("digits", 4, 1)
    photos = torch.from_numpy(scenes.photos).permute(0, 3, 1, 2).float() / 127.5 - 1
    masks = torch.from_numpy(scenes.masks).long()
    model = create_model(name, num_classes=11, dropout=0.0).train()
    optimizer = create_optimizer(model, "stage2", Schedule(epochs=1, learning_rate=3e-3), "32")
    for _ in range(30):
        scores = model(photos)
        loss = pixel_loss(scores, masks) + dice_loss(scores, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = scores.argmax(1) == masks
    assert right.float().mean() > 0.9
    assert right[masks > 0].float().mean() > 0.85, "of the pixels of objects"
