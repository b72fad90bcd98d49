"""From a trained PyTorch model to a `.bitvit` file: pack, trace, fold and fuse, verify, write."""

from bitvit.errors import ExportError
from bitvit.export.export import build_program, default_preprocessing, export_model, unlabelled_file
from bitvit.export.pack import PackedModel, pack
from bitvit.export.verify import ExportReport, measure_agreement

__all__ = [
    "ExportError",
    "ExportReport",
    "PackedModel",
    "build_program",
    "default_preprocessing",
    "export_model",
    "measure_agreement",
    "pack",
    "unlabelled_file",
]
