"""Bytes that a model takes as a `.bitvit` file: measured on the model's own Program, not estimated."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from bitvit.export import ExportError, build_program, pack, unlabelled_file
from bitvit.program import to_bytes


@dataclass(frozen=True)
class PackedBytes:
    """Where the bytes of a model's `.bitvit` file go; all zero for a model that has no packed form or no values.

    Attributes:
        by_module: size of the tensors that export writes for each module, by module path. Export folds neighbours into
            each other, so the tensors of a fused operator count for the module that it ends in.
        header: the rest of the file: operators, preprocessing, and labels (the class numbers here). What `bitvit
            export` adds to it about the training run is not counted.
    """

    by_module: dict[str, int] = field(default_factory=dict)
    header: int = 0


def packed_bytes(model: nn.Module) -> PackedBytes:
    """Pack, trace and fold a model (in its present state) and measure the file that it gives."""
    if any(parameter.is_meta for parameter in model.parameters()):
        return PackedBytes()
    try:
        packed = pack(model)
        program, tensors = build_program(packed)
    except ExportError:
        return PackedBytes()
    paths = {path for path, _ in model.named_modules()}
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        path = name
        while path not in paths:
            path = path.rpartition(".")[0]
        sizes[path] = sizes.get(path, 0) + tensor.nbytes
    file = unlabelled_file(packed, program, tensors)
    return PackedBytes(sizes, len(to_bytes(file)) - sum(sizes.values()))
