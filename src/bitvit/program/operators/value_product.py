"""The product of attention masks and planes of values (GSB)."""

from __future__ import annotations

import numpy as np

from bitvit.program.call import Call
from bitvit.program.schema import AnyArray, F32Array


def run_value_product(call: Call) -> tuple[AnyArray]:
    """Sum the products of masks and planes with their scales to rows, float32 ``[N, H D]``."""
    masks, planes = (x.astype(np.float64) for x in call.inputs)  # products of small integers are exact in binary64
    row_scale, column_scale = call.tensors["row_scale"], call.tensors["column_scale"]
    y: F32Array | None = None
    for i, mask in enumerate(masks):
        r: F32Array | None = None
        for j, plane in enumerate(planes):
            term = column_scale[j] * (mask @ plane.transpose(0, 2, 1)).astype(np.float32)  # [H, N, D]
            r = term if r is None else r + term
        scaled = row_scale[i][:, None, None] * r
        y = scaled if y is None else y + scaled
    assert y is not None
    return (y.transpose(1, 0, 2).reshape(call.outputs[0].shape),)
