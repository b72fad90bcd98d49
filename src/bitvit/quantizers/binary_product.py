"""The product of binary activations with binary weights as one step of autograd.

What the composition of `learned_sign` or `learned_round`, `binary_weight` and a matrix product computes, in fewer
passes and without keeping any bits for backward: those are recomputed from the input and the weights, which exist
anyway.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from bitvit.quantizers.learned_scale import bits_gradient, bits_of
from bitvit.quantizers.masks import shifted, summed_like, with_signs
from bitvit.quantizers.weight_scale import weight_scale


def _product_dtype(x: Tensor) -> torch.dtype:
    """The dtype that autocast would choose for a matrix product of ``x``."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _weight_signs(weight: Tensor, mean: Tensor, magnitude: Tensor) -> Tensor:
    """``magnitude * sign(W - mean)``."""
    centred = shifted(weight, 0.0 - mean)
    return with_signs(magnitude, centred, out=centred)


class _BinaryProduct(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor | None, bias: Tensor | None, rounds: bool
    ) -> Tensor:
        dtype = _product_dtype(x)
        values = shifted(x, shift)
        bits = bits_of(values, scale, rounds, out=values)
        alpha, mean = weight_scale(weight), weight.mean()
        signs = _weight_signs(weight, mean, torch.ones_like(mean))
        ctx.save_for_backward(x, weight, scale, shift, alpha, mean)
        ctx.rounds, ctx.dtype, ctx.has_bias = rounds, dtype, bias is not None
        # A product of bits is an exact integer, so it depends neither on the batch nor on the order of summation.
        product = torch.nn.functional.linear(bits.to(dtype), signs.to(dtype)).to(x.dtype)
        both = scale * alpha
        return product.mul_(both) if bias is None else product.mul_(both).add_(bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, shift, alpha, mean = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad = grad_outputs[0]
        rows = grad.reshape(-1, grad.shape[-1]).to(ctx.dtype)
        grad_x = grad_weight = grad_scale = grad_shift = None
        values = shifted(x, shift)
        bits = bits_of(values, scale, ctx.rounds)
        if needs[1]:
            # Weights by Eq. 6: the gradient of alpha * signs passes unchanged.
            if scale.dim():
                scaled_rows = (grad * scale).reshape(rows.shape).to(ctx.dtype)
                grad_weight = (scaled_rows.t() @ bits.view(-1, x.shape[-1]).to(ctx.dtype)).to(weight.dtype)
            else:
                grad_weight = (rows.t() @ bits.view(-1, x.shape[-1]).to(ctx.dtype)).to(weight.dtype).mul_(scale)
        if needs[0] or needs[2] or needs[3]:
            # The factor alpha belongs to the weights where they keep it exactly, and to the result in half precision.
            is_exact = ctx.dtype == weight.dtype
            signs = _weight_signs(weight, mean, alpha if is_exact else torch.ones_like(alpha))
            grad_bits = (rows @ signs.to(ctx.dtype)).to(x.dtype).view(x.shape)
            grad_bits = grad_bits if is_exact else grad_bits.mul_(alpha)
            grad_x, grad_scale = bits_gradient(grad_bits, values, scale, ctx.rounds, needs[2], bits)
            grad_shift = summed_like(grad_x, shift) if shift is not None and needs[3] else None
        grad_bias = grad.reshape(rows.shape).sum(0) if ctx.has_bias and needs[4] else None
        return grad_x, grad_weight, grad_scale, grad_shift, grad_bias, None


def binary_product(
    x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor | None, bias: Tensor | None, rounds: bool
) -> Tensor:
    """Multiply binary activations with binary weights.

    Forward: ``y = s alpha (bits(x + shift) . sign(W - mean W)) + bias``, ``alpha = mean(|W|)``; bits are
    ``sign(t)`` or, where ``rounds``, ``1{t > s/2}``.
    Backward (g = dL/dy): ``dL/dW = s g^T bits`` (Eq. 6); ``G = alpha g sign(W - mean W)`` is the gradient of
    ``s bits``, from which input, scale and shift get theirs as in `learned_sign` and `learned_round`;
    ``dL/dbias = sum(g)``.

    Under autocast the matrix products run in its dtype; bits are exact there, gradients are rounded.

    Args:
        x: input in float32 or better, ``[B, ..., K]``.
        weight: ``[O, K]``.
        scale: ``s``, a positive scalar, learned; or statistics ``[B, 1, ...]`` that take no gradient.
        shift: ``[K]``, learned, or statistics ``[B, 1, ...]``.
        bias: ``[O]``.
        rounds: bits are {0, 1}, not {-1, +1}.

    Returns:
        ``[B, ..., O]`` in the dtype of ``x``.

    Source: GSB Eq. 1-6 and section IV-C.
    """
    y: Tensor = _BinaryProduct.apply(x, weight, scale, shift, bias, rounds)
    return y
