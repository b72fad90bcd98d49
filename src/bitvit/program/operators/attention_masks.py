"""Binary attention: scores, softmax by table, {0,1} planes (GSB, Eq. 9-35)."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitvit.program.arithmetic import differing_bits, sum16
from bitvit.program.call import Call
from bitvit.program.schema import AnyArray, F32Array


def attention_weights(call: Call) -> F32Array:
    """Softmax over the keys by table. sign q [N, H, D], sign k [M, H, D] -> float32 [H, N, M]."""
    q, k = (x.transpose(1, 0, 2) for x in call.inputs)
    p = differing_bits(q, k)
    e = call.tensors["table"][p - p.min(axis=-1, keepdims=True)]
    a: F32Array = e * (np.float32(1) / sum16(e))[..., None]
    return a


def _plane(a: F32Array, rule: Any, threshold: F32Array | None) -> AnyArray:
    """The bits [H, N, M] of one rule; ``threshold`` [H] is given where the rule needs it."""
    match rule[0]:
        case "ones":
            return np.ones(a.shape, dtype=np.bool_)
        case "row_max":
            return np.asarray(a > np.float32(rule[1]) * a.max(axis=-1, keepdims=True))
        case "image_max":
            return np.asarray(a > np.float32(rule[1]) * a.max())
        case kind:
            assert threshold is not None
            limit = threshold[:, None, None]
            return np.asarray(a > limit if kind == "greater" else a >= limit)


def run_attention_masks(call: Call) -> tuple[AnyArray]:
    """Return the planes of masks, bool ``[P, H, N, M]``, that the rules make of ``attention - offset``."""
    a = attention_weights(call)
    offset = call.tensors.get("offset")
    if offset is not None:
        if offset.dtype == np.int8:
            offset = offset.astype(np.float32) * call.tensors["offset_scale"][:, None, None]
        a = a - (offset[..., None] if offset.ndim == 2 else offset)
    thresholds = call.tensors.get("thresholds")
    planes = [
        _plane(a, rule, None if thresholds is None else thresholds[i]) for i, rule in enumerate(call.attrs["planes"])
    ]
    return (np.stack(planes),)
