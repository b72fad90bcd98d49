"""CutMix of photos with masks."""

from __future__ import annotations

import torch

from bitvit.tasks.segmentation.cutmix import cutmix


def _numbered(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Photos and masks of a batch that are all of their own number."""
    numbers = torch.arange(count)
    return numbers.float().view(-1, 1, 1, 1).expand(-1, 3, 6, 10).clone(), numbers.view(-1, 1, 1).expand(-1, 6, 10)


def test_a_rectangle_of_one_other_photo_with_its_mask() -> None:
    torch.manual_seed(0)
    images, masks = _numbered(32)
    mixed, labels = cutmix(images, masks, 1.0, 1.0)
    assert torch.equal(mixed, labels[:, None].expand(-1, 3, -1, -1).float())
    shares = []
    for number, mask in enumerate(labels):
        strange = mask != number
        assert len(mask[strange].unique()) <= 1
        rows, columns = strange.any(dim=1), strange.any(dim=0)
        assert torch.equal(strange, rows[:, None] & columns[None])
        for line in (rows, columns):
            places = torch.nonzero(line).flatten()
            assert len(places) == 0 or len(places) == int(places[-1] - places[0]) + 1
        shares.append(strange.float().mean().item())
    assert min(shares) < 0.2 and max(shares) > 0.6
    assert torch.equal(images, _numbered(32)[0])


def test_probability_is_the_share_of_the_photos_that_change() -> None:
    torch.manual_seed(0)
    images, masks = _numbered(400)
    assert torch.equal(cutmix(images, masks, 1.0, 0.0)[0], images)
    changed = (cutmix(images, masks, 5.0, 0.5)[1] != masks).flatten(1).any(dim=1).float().mean()
    assert 0.4 < changed < 0.6
