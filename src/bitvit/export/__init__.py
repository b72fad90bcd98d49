"""From a trained PyTorch model to a `.bitvit` file: pack, trace, fold and fuse, verify, write."""

from bitvit.export.errors import ExportError
from bitvit.export.export import build_program, default_preprocessing, export_model
from bitvit.export.pack import PackedModel, is_for_comparison, pack
from bitvit.export.packed_layers import pack_layer
from bitvit.export.packed_stems import pack_stem
from bitvit.export.verify import ExportReport, measure_agreement

__all__ = [
    "ExportError",
    "ExportReport",
    "PackedModel",
    "build_program",
    "default_preprocessing",
    "export_model",
    "is_for_comparison",
    "measure_agreement",
    "pack",
    "pack_layer",
    "pack_stem",
]
