"""A file with three operators, small enough to be spoilt in every way by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import BitvitFile, Op, Preprocessing, Program, Value, sign_bits

CHANNELS, CLASSES = 11, 3


def tiny_file() -> BitvitFile:
    """Patch convolution, LayerNorm with sign, binary linear layer: u8 [4, 4, 3] -> f32 [1, 3]."""
    rng = np.random.default_rng(0)
    tensors = {
        "patch.weight": rng.integers(-128, 128, (CHANNELS, 4, 4, 3), dtype=np.int8),
        "patch.scale": rng.uniform(1e-4, 1e-3, (CHANNELS, 3)).astype(np.float32),
        "patch.bias": rng.standard_normal(CHANNELS).astype(np.float32),
        "norm.weight": rng.standard_normal(CHANNELS).astype(np.float32),
        "norm.threshold": rng.standard_normal(CHANNELS).astype(np.float32),
        "head.weight": sign_bits(rng.standard_normal((CLASSES, CHANNELS))),
        "head.scale": rng.uniform(0.5, 1, CLASSES).astype(np.float32),
        "head.bias": rng.standard_normal(CLASSES).astype(np.float32),
    }
    program = Program(
        values={
            "image": Value("u8", (4, 4, 3)),
            "x": Value("f32", (1, CHANNELS)),
            "signs": Value("sign", (1, CHANNELS)),
            "logits": Value("f32", (1, CLASSES)),
        },
        ops=[
            Op(
                "patch_conv_u8",
                ("image",),
                ("x",),
                {"patch": 4},
                {"weight": "patch.weight", "scale": "patch.scale", "bias": "patch.bias"},
            ),
            Op(
                "layer_norm_sign",
                ("x",),
                ("signs",),
                {"eps": 1e-6},
                {"weight": "norm.weight", "threshold": "norm.threshold"},
            ),
            Op(
                "binary_linear",
                ("signs",),
                ("logits",),
                {},
                {"weight": "head.weight", "scale": "head.scale", "bias": "head.bias"},
            ),
        ],
        input="image",
        output="logits",
    )
    provenance = {"model": "tiny", "note": "Größe 1 µm", "nested": {"list": [1, 2.5, None, True]}}
    return BitvitFile(program, tensors, Preprocessing((4, 4), 5, "bilinear"), ["cat", "dog", "Öl"], provenance)
