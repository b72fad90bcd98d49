"""CutMix for photos with masks."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cutmix"]


def cutmix(images: Tensor, masks: Tensor, alpha: float, probability: float) -> tuple[Tensor, Tensor]:
    """Put a rectangle of another photo of the batch, with its mask, into some of the photos.

    The rectangle has the photo's aspect, covers a share of it drawn from ``Beta(alpha, alpha)``, lies inside it
    anywhere, and shows what is at the same place in the other photo. Source: CutMix (Yun et al., 2019); masks are cut
    as the photos are, so that no share of a label is needed.

    Args:
        images: `[B,C,H,W]`.
        masks: `[B,H,W]`.
        alpha: of the beta distribution; 1 draws all shares alike.
        probability: share of the photos that are changed.

    Returns:
        New images and masks.
    """
    count, (height, width) = len(images), images.shape[-2:]
    alphas = torch.full((count,), float(alpha))
    sides = torch.distributions.Beta(alphas, alphas).sample().sqrt()
    sides = torch.where(torch.rand(count) < probability, sides, torch.zeros(()))
    within: list[Tensor] = []
    for size in (height, width):
        starts = torch.rand(count) * (1 - sides)
        centres = (torch.arange(size) + 0.5) / size
        within.append((centres >= starts[:, None]) & (centres < (starts + sides)[:, None]))
    inside = (within[0][:, :, None] & within[1][:, None, :]).to(images.device)
    others = torch.randperm(count).to(images.device)
    return torch.where(inside[:, None], images[others], images), torch.where(inside, masks[others], masks)
