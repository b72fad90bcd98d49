"""Attention masks of the XNOR-Net baseline, by a threshold of the very image (GSB, Eq. 2, 7, 8)."""

from __future__ import annotations

import numpy as np

from bitvit.program.arithmetic import sum16, sum_in_order
from bitvit.program.call import Call
from bitvit.program.operators.attention_masks import attention_weights
from bitvit.program.schema import AnyArray, F32Array


def _mean_of_rows(a: F32Array, count: int) -> F32Array:
    """`sum16` of each row of keys, added in the order of heads and queries, over ``count``. [H, N, M] -> []."""
    mean: F32Array = np.asarray(sum_in_order(sum16(a).reshape(-1)) / np.float32(count))
    return mean


def run_attention_masks_statistics(call: Call) -> tuple[AnyArray, AnyArray]:
    """Return the mask of the attention above half of gamma, bool ``[1, H, N, M]``, and gamma, float32 ``[1]``."""
    a = attention_weights(call)
    gamma = _mean_of_rows(a, a.size)
    if call.attrs["phase"] == 2:
        is_large = a > np.float32(0.5)
        count = int(is_large.sum())
        if count:
            large = _mean_of_rows(np.where(is_large, a, np.float32(0)), count)
            if int((a > np.float32(0.5) * large).sum()) >= call.attrs["patches"]:
                gamma = large
    return (a > np.float32(0.5) * gamma)[None], gamma.reshape(1)
