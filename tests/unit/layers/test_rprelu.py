"""RPReLU: value and gradients against PyTorch's own operators."""

import torch
import torch.nn.functional as F

from bitvit.layers import RPReLU


def test_value_and_gradients_are_those_of_torch() -> None:
    torch.manual_seed(0)
    layer = RPReLU(5).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(5))
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        x[0, 0, 0] = layer.before  # exactly 0 before the slope
    weights = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    inputs = [x, layer.before, layer.slope, layer.after]
    y = layer(x)
    reference = F.prelu((x - layer.before).reshape(-1, 5), layer.slope).view(x.shape) + layer.after
    assert torch.equal(y, reference)
    found = torch.autograd.grad((y * weights).sum(), inputs)
    wanted = torch.autograd.grad((reference * weights).sum(), inputs)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_no_gradient_is_needed_to_run() -> None:
    layer = RPReLU(3)
    with torch.inference_mode():
        assert torch.equal(layer(torch.tensor([[-4.0, 0.0, 4.0]])), torch.tensor([[-1.0, 0.0, 4.0]]))
