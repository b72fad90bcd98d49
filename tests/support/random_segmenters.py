"""Random Programs that end in a label map, as segmentation networks do."""

from __future__ import annotations

import numpy as np

from bitvit.program import BitvitFile, Preprocessing, Value, validate_file

from .operator_cases import f32, positive
from .random_programs import ProgramBuilder


def random_segmenter(seed: int) -> BitvitFile:
    """A stem, a binary layer on patches, scores resized to another grid, and the class of each of its cells."""
    rng = np.random.default_rng(seed)
    patch = int(rng.integers(2, 4))
    grid = (2 * int(rng.integers(1, 5)), 2 * int(rng.integers(1, 5)))
    size = (patch * grid[0], patch * grid[1])
    channels, n_classes = int(rng.integers(3, 40)), int(rng.integers(2, 12))
    n = grid[0] * grid[1]
    b = ProgramBuilder(rng, size)
    scaling = {"mul": positive(rng, 3) / np.float32(64), "add": f32(rng, 3)}
    pixels = b.op("image_to_float", ["image"], Value("f32", (*size, 3)), tensors=scaling)
    stem = {"weight": f32(rng, channels, patch, patch, 3), "bias": f32(rng, channels)}
    x = b.op("patch_conv_f32", [pixels], Value("f32", (n, channels)), attrs={"patch": patch}, tensors=stem)
    tensors = {"weight": f32(rng, channels), "threshold": f32(rng, channels) / np.float32(8)}
    signs = b.op("layer_norm_sign", [x], Value("sign", (n, channels)), attrs={"eps": 1e-5}, tensors=tensors)
    x = b.op("add", [x, b.linear(signs, channels)], Value("f32", (n, channels)))
    head = {"weight": f32(rng, n_classes, channels), "bias": f32(rng, n_classes)}
    scores = b.op("linear_f32", [x], Value("f32", (n, n_classes)), tensors=head)
    # A class for each pixel, or for each square of four.
    fine = size if rng.integers(2) else (size[0] // 2, size[1] // 2)
    attrs = {"grid": list(grid), "size": list(fine)}
    cells = fine[0] * fine[1]
    scores = b.op("resize_bilinear", [scores], Value("f32", (cells, n_classes)), attrs=attrs)
    b.program.output = b.op("argmax_channels", [scores], Value("i32", (cells,)))
    colors = [(int(rng.integers(256)), i, 0) for i in range(n_classes)]
    file = BitvitFile(
        b.program,
        b.tensors,
        Preprocessing(size, max(size), "bilinear", fit="stretch"),
        [f"class {i}" for i in range(n_classes)],
        {"model": "random segmenter", "seed": seed},
        task="segmentation",
        colors=colors if rng.integers(2) else None,
    )
    validate_file(file)
    return file
