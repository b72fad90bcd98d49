"""Bytes that each module of a model takes in a `.bitvit` file: measured on the model's own Program, not estimated."""

from __future__ import annotations

from torch import nn

from bitvit.export import ExportError, build_program, pack


def packed_bytes_by_module(model: nn.Module) -> dict[str, int]:
    """Return the size of the tensors that export would write for each module, by module path.

    Export folds neighbours into each other, so the tensors of a fused operator count for the module that it ends in.
    The sum is exact; the file's JSON header comes on top. Empty for a model that has no packed form or no
    values.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        return {}
    try:
        _, tensors = build_program(pack(model))
    except ExportError:
        return {}
    paths = {path for path, _ in model.named_modules()}
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        path = name
        while path not in paths:
            path = path.rpartition(".")[0]
        sizes[path] = sizes.get(path, 0) + tensor.nbytes
    return sizes
