"""The fused product of bits against the composition of its parts, whose gradients other tests derive from the paper."""

import pytest
import torch

from bitvit.quantizers import binary_product, binary_weight, learned_round, learned_sign

ROWS, INPUTS, OUTPUTS = (3, 5), 12, 7


def parameters(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    print("seed", seed)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    scale = torch.tensor(0.7, dtype=dtype)
    x = draw(*ROWS, INPUTS)
    # Values on the window's bounds and zeros of both signs; the shift of the first channels is 0.
    x[0, 0, :4] = torch.tensor([0.0, -0.0, 0.7, -0.7], dtype=dtype)
    shift = 0.1 * draw(INPUTS)
    shift[:4] = -0.0
    return {"x": x, "weight": draw(OUTPUTS, INPUTS) + 0.2, "scale": scale, "shift": shift, "bias": draw(OUTPUTS)}


def gradients(y: torch.Tensor, inputs: dict[str, torch.Tensor], seed: int = 9) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y.backward(torch.randn(y.shape, generator=generator, dtype=y.dtype))
    return {name: value.grad for name, value in inputs.items() if value.grad is not None}


@pytest.mark.parametrize("rounds", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_product_is_its_parts(rounds: bool, seed: int) -> None:
    fused = {name: value.requires_grad_() for name, value in parameters(seed).items()}
    parts = {name: value.requires_grad_() for name, value in parameters(seed).items()}
    y = binary_product(fused["x"], fused["weight"], fused["scale"], fused["shift"], fused["bias"], rounds)
    quantize = learned_round if rounds else learned_sign
    bits = quantize(parts["x"] + parts["shift"], parts["scale"])
    expected = torch.nn.functional.linear(bits, binary_weight(parts["weight"]), parts["bias"])
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    found, wanted = gradients(y, fused), gradients(expected, parts)
    assert found.keys() == wanted.keys() == fused.keys()
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-11, atol=1e-12, msg=name)


def test_statistics_of_each_image_take_no_gradient() -> None:
    given = parameters(2)
    x, weight = given["x"].requires_grad_(), given["weight"].requires_grad_()
    mean, scale = torch.randn(3, 1, 1, dtype=torch.float64), torch.rand(3, 1, 1, dtype=torch.float64) + 0.1
    y = binary_product(x, weight, scale, -mean, None, False)
    found = gradients(y, {"x": x, "weight": weight})
    x2, weight2 = x.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    wanted = gradients(learned_sign(x2 - mean, scale) @ binary_weight(weight2).t(), {"x": x2, "weight": weight2})
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-11, atol=1e-12, msg=name)


def test_autocast_keeps_bits_exact_and_gradients_close() -> None:
    given = {name: value.requires_grad_() for name, value in parameters(3, torch.float32).items()}
    arguments = (given["x"], given["weight"], given["scale"], given["shift"], given["bias"], False)
    exact = binary_product(*arguments)
    full = {name: grad.clone() for name, grad in gradients(exact, given).items()}
    for value in given.values():
        value.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        y = binary_product(*arguments)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, exact, rtol=0, atol=0)  # sums of 12 bits have an exact bfloat16 form
    for name, grad in gradients(y, given).items():
        assert grad.dtype == torch.float32
        # bfloat16 keeps 8 bits of each gradient that enters a product.
        torch.testing.assert_close(grad, full[name], rtol=2e-2, atol=2e-2 * float(full[name].abs().max()), msg=name)


def test_only_the_input_is_kept_for_backward() -> None:
    given = {name: value.requires_grad_() for name, value in parameters(4).items()}
    kept: list[torch.Size] = []

    def note(value: torch.Tensor) -> torch.Tensor:
        kept.append(value.shape)
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        binary_product(given["x"], given["weight"], given["scale"], given["shift"], given["bias"], False)
    assert [shape for shape in kept if shape.numel() >= INPUTS * 15] == [given["x"].shape]
