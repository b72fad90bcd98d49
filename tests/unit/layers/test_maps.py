"""Pooling of channels-last maps."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bitvit.layers.maps import average_pool


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (5, 1, 2), (3, 2, 1)])
def test_average_pooling_and_its_gradient_are_sums_over_windows(kernel: int, stride: int, padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 9, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    found = average_pool(x, (kernel, kernel), (stride, stride), (padding, padding))
    weights = torch.randn(found.shape, dtype=torch.float64, generator=generator)
    (gradient,) = torch.autograd.grad((found * weights).sum(), x)

    padded = F.pad(x.detach(), (0, 0, padding, padding, padding, padding))
    expected, slope = torch.zeros_like(found), torch.zeros_like(padded)
    for row in range(found.shape[1]):
        for column in range(found.shape[2]):
            rows = slice(row * stride, row * stride + kernel)
            columns = slice(column * stride, column * stride + kernel)
            expected[:, row, column] = padded[:, rows, columns].sum((1, 2)) / kernel**2
            slope[:, rows, columns] += weights[:, row, column][:, None, None] / kernel**2
    torch.testing.assert_close(found, expected)
    height, width = x.shape[1:3]
    torch.testing.assert_close(gradient, slope[:, padding : padding + height, padding : padding + width])


def test_only_the_cpu_pools_maps_whose_channels_come_last() -> None:
    """PyTorch's gradients of such maps were wrong on CUDA and on MPS; `make test-gpu` compares them there."""
    seen: list[bool] = []

    def pool(maps: Tensor, *arguments: object, **options: object) -> Tensor:
        seen.append(maps.is_contiguous())
        return maps

    with patch.object(F, "avg_pool2d", pool):
        for device in ("cpu", "meta"):
            average_pool(torch.empty(2, 5, 5, 3, device=device), (3, 3), (1, 1), (1, 1))
    assert seen == [False, True]
