"""Photos and masks change together, and ignored pixels count for nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bitvit.errors import UsageError
from bitvit.program import Preprocessing
from bitvit.tasks import Augmentation, Classes, Distillation
from bitvit.tasks.objective import ObjectivePlan
from bitvit.tasks.segmentation import SegmentationSettings
from bitvit.tasks.segmentation.objective import SegmentationObjective, dice_loss, pixel_loss

PLAN = ObjectivePlan(
    settings=SegmentationSettings(),
    augmentation=Augmentation(scale=(0.3, 1.0), horizontal_flip=0.5, vertical_flip=0.5),
    distillation=Distillation(kind="none"),
    classes=Classes(("a", "b", "c", "d")),
    preprocessing=Preprocessing((16, 24), 24, "bilinear", (0.0,) * 3, (1.0,) * 3, fit="stretch"),
)


def quarters(width: int, height: int) -> tuple[Image.Image, np.ndarray]:
    """A photo whose quarters have a grey of their own, and the mask that says which."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 1
    mask[height // 2 :] += 2
    return Image.fromarray(mask * 60).convert("RGB"), mask


def augmented(plan: ObjectivePlan, seed: int, width: int = 40, height: int = 30) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    photo, mask = SegmentationObjective(plan).augment(*quarters(width, height))
    assert photo.shape == (3, 16, 24)
    assert (mask.shape, mask.dtype) == ((16, 24), torch.int64)
    return photo, mask


@pytest.mark.parametrize("seed", range(6))
def test_photo_and_mask_change_together(seed: int) -> None:
    photo, mask = augmented(PLAN, seed)
    # Bilinear edges blur; where the photo is one of the four greys its mask must agree.
    shade = (photo[0] * 255 / 60).round()
    is_pure = ((photo[0] * 255 / 60 - shade).abs() < 1e-3) & (
        torch.nn.functional.max_pool2d((mask[None, None].float()), 3, 1, 1)[0, 0] == mask
    )
    assert is_pure.float().mean() > 0.5
    assert (shade[is_pure] == mask[is_pure]).float().mean() > 0.97


def test_changes_follow_from_the_generator() -> None:
    assert torch.equal(augmented(PLAN, 3)[1], augmented(PLAN, 3)[1])
    assert any(not torch.equal(augmented(PLAN, 3)[1], augmented(PLAN, seed)[1]) for seed in (4, 5, 6))


def test_zooming_out_ignores_the_rim() -> None:
    plan = replace(PLAN, settings=SegmentationSettings(zoom_out=4.0), augmentation=Augmentation(scale=(1.0, 1.0)))
    found = [augmented(plan, seed)[1] for seed in range(8)]
    assert any((mask == 255).any() for mask in found)
    assert all((mask != 255).any() for mask in found)


def test_photos_of_a_batch_are_mixed_where_the_recipe_says_so() -> None:
    torch.manual_seed(0)
    images, masks = torch.randn(8, 3, 4, 4), torch.arange(8).view(-1, 1, 1).expand(-1, 4, 4)
    same = SegmentationObjective(PLAN).mix(images, masks)
    assert same[0] is images and same[1] is masks
    mixed, labels = SegmentationObjective(replace(PLAN, augmentation=Augmentation(cutmix=1.0))).mix(images, masks)
    assert (labels != masks).any()
    assert torch.equal(mixed, images[labels, :, torch.arange(4)[:, None], torch.arange(4)].permute(0, 3, 1, 2))


def test_what_segmentation_does_not_know_is_refused() -> None:
    for change in ({"mixup": 0.2}, {"random_erasing": 0.1}, {"auto_augment": "rand-m9"}):
        with pytest.raises(UsageError, match=next(iter(change))):
            SegmentationObjective(replace(PLAN, augmentation=Augmentation(**change)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"task\.dice"):
        SegmentationSettings(dice=-1.0)
    with pytest.raises(UsageError, match=r"task\.zoom_out"):
        SegmentationSettings(zoom_out=0.5)


def test_ignored_pixels_count_for_nothing() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 4, 5, 5, requires_grad=True)
    masks = torch.randint(0, 4, (2, 5, 5))
    masks[:, 2:] = 255
    for loss in (pixel_loss(scores, masks), dice_loss(scores, masks)):
        (gradient,) = torch.autograd.grad(loss, scores, retain_graph=True)
        assert bool(gradient[:, :, :2].any())
        assert not bool(gradient[:, :, 2:].any())
    everything = torch.full_like(masks, 255)
    for loss in (pixel_loss(scores, everything), dice_loss(scores, everything)):
        assert loss.item() == 0
        assert not bool(torch.autograd.grad(loss, scores, retain_graph=True)[0].any())


def test_dice_is_small_for_right_and_large_for_wrong_scores() -> None:
    masks = torch.randint(0, 4, (1, 20, 20), generator=torch.Generator().manual_seed(0))
    right = 20.0 * torch.nn.functional.one_hot(masks, 4).permute(0, 3, 1, 2).float()
    assert float(dice_loss(right, masks)) < 0.01
    assert float(dice_loss(right.roll(1, dims=1), masks)) > 0.9


def test_loss_mixes_masks_dice_and_teacher() -> None:
    torch.manual_seed(0)
    scores, teacher = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    masks = torch.randint(0, 4, (2, 6, 6))
    own = pixel_loss(scores, masks)
    assert torch.equal(SegmentationObjective(PLAN).loss(scores, masks, None), own)
    plan = replace(
        PLAN,
        settings=SegmentationSettings(dice=2.0),
        distillation=Distillation(kind="soft", weight=0.25, temperature=2.0),
    )
    taught = -(torch.softmax(teacher / 2, 1) * torch.log_softmax(scores / 2, 1)).sum(1).mean() * 4
    expected = 0.75 * (own + 2 * dice_loss(scores, masks)) + 0.25 * taught
    torch.testing.assert_close(SegmentationObjective(plan).loss(scores, masks, teacher), expected)


def test_class_weights_are_those_of_the_plan() -> None:
    torch.manual_seed(0)
    scores, masks = torch.randn(1, 4, 6, 6), torch.randint(0, 4, (1, 6, 6))
    weights = np.array([0.1, 1, 2, 3], np.float32)
    found = SegmentationObjective(replace(PLAN, class_weights=weights)).loss(scores, masks, None)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(scores, masks, torch.from_numpy(weights)))
