"""QuantLinear with GSB's estimators: integer products, both kinds of statistics, both kinds of inputs, stages."""

import numpy as np
import pytest
import torch

from bitvit.layers import QuantLinear, gsb_linear
from bitvit.quantizers import LearnedSign, ScaledBits
from tests.support import gsb_formulas as formulas
from tests.support.golden import scale_gradient


def make(seed: int = 0, **kwargs: object) -> QuantLinear:
    torch.manual_seed(seed)
    layer = gsb_linear(13, 7, **kwargs).double()  # type: ignore[arg-type]
    with torch.no_grad():
        layer.weight.normal_(0.1, 0.5)
        if isinstance(layer.input_quantizer, LearnedSign):
            layer.input_quantizer.shift.normal_(0, 0.1)
            layer.input_quantizer.scale = torch.tensor(0.37)
    return layer


def learned(layer: QuantLinear) -> LearnedSign:
    assert isinstance(layer.input_quantizer, LearnedSign)
    return layer.input_quantizer


def numpy_input_bits(layer: QuantLinear, image: np.ndarray, rounds: bool) -> tuple[np.ndarray, float]:
    if isinstance(layer.input_quantizer, LearnedSign):
        inputs = learned(layer)
        shifted, scale = image + inputs.shift.detach().numpy(), float(inputs.scale.detach())
    else:
        shifted, scale = image - image.mean(), float(np.abs(image).mean())
    bit = formulas.round_clip if rounds else formulas.sign
    return np.array([bit(v / scale) for v in shifted.flat]).reshape(image.shape), scale


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("type_a", ["round", "sign"])
@pytest.mark.parametrize("input_type", ["signed", "nonnegative"])
@pytest.mark.parametrize("statistics", ["learned", "xnor"])
def test_forward_is_eq_1(statistics: str, input_type: str, type_a: str, bias: bool) -> None:
    layer = make(bias=bias, statistics=statistics, input_type=input_type, type_a=type_a)
    x = torch.randn(3, 5, 13, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = layer(x)
    weight = formulas.binary_weight(layer.weight.detach().numpy())
    for b in range(3):
        bits, scale = numpy_input_bits(layer, x[b].numpy(), input_type == "nonnegative" and type_a == "round")
        expected = scale * bits @ weight.T
        if layer.bias is not None:
            expected = expected + layer.bias.detach().numpy()
        np.testing.assert_allclose(y[b].detach(), expected, rtol=1e-10, atol=1e-12)


def test_gradients() -> None:
    """dL/dW is that of the product (Eq. 6), dL/dx and dL/ds those of the quantizer, dL/dshift is summed dL/dx."""
    layer = make()
    x = torch.randn(2, 4, 13, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    grad = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    layer(x).backward(grad)
    weight = formulas.binary_weight(layer.weight.detach().numpy())
    shifted = (x + learned(layer).shift).detach().numpy()
    scale = float(learned(layer).scale.detach())
    grad_bits = grad.numpy() @ weight
    value, grad_x, grad_scale = formulas.learned_sign(shifted, scale, grad_bits)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, grad_x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(learned(layer).shift.grad, grad_x.sum((0, 1)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scale_gradient(layer, "input_quantizer.scale"), grad_scale, rtol=1e-9)
    np.testing.assert_allclose(layer.weight.grad, np.einsum("bno,bnk->ok", grad.numpy(), value), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, grad.numpy().sum((0, 1)), rtol=1e-12)


def test_gradients_with_image_statistics_reach_the_input() -> None:
    layer = make(statistics="xnor")
    x = torch.randn(2, 4, 13, generator=torch.Generator().manual_seed(4), dtype=torch.float64, requires_grad=True)
    grad = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    layer(x).backward(grad)
    weight = formulas.binary_weight(layer.weight.detach().numpy())
    assert x.grad is not None
    for b in range(2):
        image = x[b].detach().numpy()
        inside = np.abs((image - image.mean()) / np.abs(image).mean()) <= 1
        np.testing.assert_allclose(x.grad[b], (grad[b].numpy() @ weight) * inside, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("input_type", ["signed", "nonnegative"])
def test_float32_products_are_exact_integers(input_type: str) -> None:
    """So that logits cannot depend on the order of summation: y = (s alpha) * integer + bias, to the bit."""
    torch.manual_seed(6)
    layer = gsb_linear(384, 17, input_type=input_type).requires_grad_(False)  # type: ignore[arg-type]
    learned(layer).scale = 0.83
    x = torch.randn(2, 9, 384)
    bits, scale = layer.quantized_input(x)
    signs, alpha = layer.binary_weight()
    integers = bits.to(torch.int64).flatten(0, 1) @ signs.to(torch.int64).T
    assert scale is not None
    expected = integers.reshape(2, 9, 17).to(torch.float32) * (scale * alpha) + layer.bias
    assert layer(x).equal(expected)


def test_stage_1_uses_the_real_input_and_no_activation_parameters() -> None:
    layer = make()
    learned(layer).set_activation_binarization(False)
    x = torch.randn(2, 4, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    y = layer(x)
    weight = formulas.binary_weight(layer.weight.detach().numpy())
    np.testing.assert_allclose(y.detach(), x.numpy() @ weight.T + layer.bias.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert not learned(layer).shift.requires_grad
    assert not learned(layer).log_scale.requires_grad
    learned(layer).set_activation_binarization(True)
    assert learned(layer).shift.requires_grad
    assert learned(layer).log_scale.requires_grad


def test_assigning_a_scale_keeps_it_to_the_bit() -> None:
    layer = gsb_linear(4, 4)
    learned(layer).log_scale.data.fill_(0.3)
    learned(layer).scale = 0.25
    assert learned(layer).log_scale.item() == 0
    assert learned(layer).scale.item() == 0.25
    learned(layer).scale = -1.0
    assert learned(layer).scale.item() > 0


def test_autocast_keeps_decisions_in_float32() -> None:
    torch.manual_seed(8)
    layer = gsb_linear(64, 32).requires_grad_(False)
    learned(layer).shift.uniform_(-1e-3, 1e-3)
    x = torch.randn(2, 5, 64) * 1e-3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    # Products of at most 64 bits are exact in bfloat16 too, so nothing differs.
    assert y.equal(layer(x))


@pytest.mark.parametrize("statistics", ["learned", "xnor"])
@pytest.mark.parametrize("input_type", ["signed", "nonnegative"])
def test_the_fused_product_is_the_composition_of_the_estimators(statistics: str, input_type: str) -> None:
    """A hook must see the estimator, so the layer composes; values and gradients are those of the fused form."""
    layer = make(3, statistics=statistics, input_type=input_type)
    x = torch.randn(2, 4, 13, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    grad = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    results = []
    for hooked in (False, True):
        calls: list[int] = []
        assert isinstance(layer.input_quantizer, ScaledBits)
        handle = (
            layer.input_quantizer.register_forward_hook(lambda *_, calls=calls: calls.append(1)) if hooked else None
        )
        layer.zero_grad()
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(grad)
        assert len(calls) == hooked
        results.append([y.detach(), leaf.grad, *(p.grad for p in layer.parameters())])
        if handle is not None:
            handle.remove()
    for fused, composed in zip(*results, strict=True):
        torch.testing.assert_close(fused, composed, rtol=1e-12, atol=1e-12)
