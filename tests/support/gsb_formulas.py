"""The GSB paper's equations in NumPy, float64, written from the paper: what the quantizers are tested against.

Loops over single elements on purpose: nothing here shares code or tricks with the implementation.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sign(x: float) -> float:
    """Eq. 4."""
    return 1.0 if x >= 0 else -1.0


def round_clip(x: float) -> float:
    """Eq. 3."""
    return 1.0 if x > 0.5 else 0.0


def binary_weight(weight: Array) -> Array:
    """Eq. 1 and 2."""
    count = weight.size
    mean = sum(weight.flat) / count
    alpha = sum(abs(w) for w in weight.flat) / count
    return alpha * np.array([sign((w - mean) / alpha) for w in weight.flat]).reshape(weight.shape)


def learned_sign(x: Array, scale: float, grad: Array) -> tuple[Array, Array, float]:
    """Value, input gradient and scale gradient of a scaled sign: Eq. 4, 5, 28, 29 with the closed window of Eq. 5."""
    out, grad_x, grad_scale = np.empty_like(x), np.empty_like(x), 0.0
    for index in np.ndindex(x.shape):
        ratio = x[index] / scale
        out[index] = scale * sign(ratio)
        inside = -1 <= ratio <= 1
        grad_x[index] = grad[index] if inside else 0.0
        grad_scale += grad[index] * (sign(ratio) - (ratio if inside else 0.0))
    return out, grad_x, grad_scale / x[0].size


def learned_round(x: Array, scale: float, grad: Array) -> tuple[Array, Array, float]:
    """Value, input gradient and scale gradient of scaled rounding: Eq. 3, 5, 14, 17."""
    out, grad_x, grad_scale = np.empty_like(x), np.empty_like(x), 0.0
    for index in np.ndindex(x.shape):
        ratio = x[index] / scale
        out[index] = scale * round_clip(ratio)
        inside = 0 < ratio < 1
        grad_x[index] = grad[index] if inside else 0.0
        grad_scale += grad[index] * (round_clip(ratio) - (ratio if inside else 0.0))
    return out, grad_x, grad_scale / x[0].size


def gamma(attention: Array, phase: int, patches: int) -> float:
    """Eq. 2, Eq. 8 and the switch of section III-B, for one image's attention ``[H, N, M]``."""
    mean = sum(abs(a) for a in attention.flat) / attention.size
    large = [a for a in attention.flat if a > 0.5]
    if phase == 1 or not large:
        return float(mean)
    second = sum(large) / len(large)
    ones = sum(a / second > 0.5 for a in attention.flat)
    return float(mean if ones < patches else second)


def factors(components: int) -> list[float]:
    """c_i of Eq. 13, i = 1..k."""
    return [0.5 + 0.4 * i / components for i in range(1, components + 1)]


def gsb_attention(a_t: Array, scales: Array, coefficients: list[float], base: str = "round") -> Array:
    """Eq. 10-13; ``base`` is ``round`` (Eq. 11), ``mask`` (Table VIII) or ``sign`` (Table V)."""
    out = np.zeros_like(a_t)
    for b, h, n, m in np.ndindex(a_t.shape):
        value = a_t[b, h, n, m]
        largest = max(a_t[b, h, n])
        if base == "round":
            bit = round_clip(value / scales[0])
        elif base == "mask":
            bit = float(value > 0.5 * largest)
        else:
            bit = sign(value)
        out[b, h, n, m] = scales[0] * bit
        for scale, c in zip(scales[1:], coefficients, strict=True):
            out[b, h, n, m] += scale * float(value > c * largest)
    return out


def gsb_attention_gradients(
    a_t: Array, scales: Array, coefficients: list[float], grad: Array, base: str = "round"
) -> tuple[Array, Array]:
    """Eq. 14-20: gradients of the input and of the scales; averages per image, summed over images."""
    grad_a, grad_scales = np.zeros_like(a_t), np.zeros(len(scales))
    for b, h, n, m in np.ndindex(a_t.shape):
        value, g = a_t[b, h, n, m], grad[b, h, n, m]
        largest = max(a_t[b, h, n])
        ratio = value / scales[0]
        if base == "mask":
            above = value - 0.5 * largest
            factor = scales[0] if 0 < above < 1 else 0.0
            grad_scales[0] += g * float(above > 0)
        else:
            bit = round_clip(ratio) if base == "round" else sign(ratio)
            inside = (0 < ratio < 1) if base == "round" else (-1 < ratio < 1)
            factor = 1.0 if inside else 0.0
            grad_scales[0] += g * (bit - ratio if inside else bit)
        for i, c in enumerate(coefficients, start=1):
            above = value - c * largest
            factor += scales[i] if 0 < above < 1 else 0.0
            grad_scales[i] += g * float(above > 0)
        grad_a[b, h, n, m] = g * factor
    return grad_a, grad_scales / a_t[0].size


def attention_scales(a_t: Array, coefficients: list[float], minimum: float) -> Array:
    """Eq. 25: the mean, then band means minus the scales before; an empty or falling band gives ``minimum``."""
    scales = [max(float(np.mean(a_t)), minimum)]
    for i, low in enumerate(coefficients):
        band = []
        for b, h, n, m in np.ndindex(a_t.shape):
            value, largest = a_t[b, h, n, m], max(a_t[b, h, n])
            below = i + 1 == len(coefficients) or value < coefficients[i + 1] * largest
            if value >= low * largest and below:
                band.append(value)
        wanted = sum(band) / len(band) if band else 0.0
        scales.append(max(wanted - sum(scales), minimum))
    return np.array(scales)


def gsb_value_masks(v0: Array, coefficients: list[float]) -> list[Array]:
    """M_0 .. M_k of Eq. 27, extremes over each image."""
    masks = [np.ones_like(v0)]
    for c in coefficients:
        mask = np.zeros_like(v0)
        for b in range(v0.shape[0]):
            largest, smallest = max(v0[b].flat), min(v0[b].flat)
            for index in np.ndindex(v0[b].shape):
                value = v0[b][index]
                mask[b][index] = float(value > c * largest or value < c * smallest)
        masks.append(mask)
    return masks


def gsb_value(v0: Array, scales: Array, coefficients: list[float]) -> Array:
    """Eq. 26 and 27."""
    out = np.zeros_like(v0)
    for scale, mask in zip(scales, gsb_value_masks(v0, coefficients), strict=True):
        for index in np.ndindex(v0.shape):
            out[index] += scale * sign(v0[index]) * mask[index]
    return out


def gsb_value_gradients(v0: Array, scales: Array, coefficients: list[float], grad: Array) -> tuple[Array, Array]:
    """Eq. 28-32: gradients of the input and of the scales."""
    grad_v, grad_scales = np.zeros_like(v0), np.zeros(len(scales))
    masks = gsb_value_masks(v0, coefficients)
    for index, (i, scale) in itertools.product(np.ndindex(v0.shape), enumerate(scales)):
        masked = v0[index] * masks[i][index]
        ratio = masked / scale
        if masks[i][index]:
            term = sign(masked) - ratio if -1 < ratio < 1 else sign(masked)
            grad_scales[i] += grad[index] * term
            passes = -1 < ratio < 1 if i == 0 else -1 <= ratio <= 1
            grad_v[index] += grad[index] if passes else 0.0
    return grad_v, grad_scales / v0[0].size


def value_scales(v0: Array, coefficients: list[float], minimum: float) -> Array:
    """Eq. 34, with the solution of Eq. 33's normal equations written as band means."""
    masks = gsb_value_masks(v0, coefficients)
    scales: list[float] = []
    for i, mask in enumerate(masks):
        following = masks[i + 1] if i + 1 < len(masks) else np.zeros_like(v0)
        total = np.sum(np.abs(v0) * mask) - np.sum(np.abs(v0) * following)
        count = np.sum(mask) - np.sum(following)
        wanted = total / count if count else 0.0
        scales.append(max(float(wanted) - sum(scales), minimum))
    return np.array(scales)


def learned_step(x: Array, step: float, grad: Array, group_size: int) -> tuple[Array, Array, float]:
    """LSQ (Esser et al. 2020, Eq. 1-3) at 8 bits, one step."""
    out, grad_x, grad_step = np.empty_like(x), np.empty_like(x), 0.0
    for index in np.ndindex(x.shape):
        ratio = x[index] / step
        if ratio < -128:
            out[index], grad_x[index], term = -128 * step, 0.0, -128.0
        elif ratio > 127:
            out[index], grad_x[index], term = 127 * step, 0.0, 127.0
        else:
            # Python's round is half to even, as the Program's rint.
            out[index], grad_x[index], term = round(ratio) * step, grad[index], round(ratio) - ratio
        grad_step += grad[index] * term
    return out, grad_x, grad_step / float(np.sqrt(group_size * 127))
