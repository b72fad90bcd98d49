"""Checkpoints: their content, building a model from one, reading, writing, and importing those of others."""

from __future__ import annotations

from bitvit.checkpoints.building import ModelSpec, build_model, is_binary, preprocessing_for
from bitvit.checkpoints.checkpoint import (
    FINAL_FILE,
    CheckpointInfo,
    CheckpointStage,
    is_checkpoint,
    load_checkpoint,
    read_info,
    save_checkpoint,
)
from bitvit.checkpoints.description import model_spec
from bitvit.checkpoints.errors import CheckpointError, ModelError
from bitvit.checkpoints.importing import ImportedCheckpoint, import_checkpoint
from bitvit.checkpoints.pretrained import build_pretrained, registered_image_size
from bitvit.checkpoints.provenance import provenance
from bitvit.checkpoints.weights import (
    check_same_shapes,
    copy_all_but_heads,
    copy_backbone,
    copy_weights,
    load_pretrained,
)

__all__ = [
    "FINAL_FILE",
    "CheckpointError",
    "CheckpointInfo",
    "CheckpointStage",
    "ImportedCheckpoint",
    "ModelError",
    "ModelSpec",
    "build_model",
    "build_pretrained",
    "check_same_shapes",
    "copy_all_but_heads",
    "copy_backbone",
    "copy_weights",
    "import_checkpoint",
    "is_binary",
    "is_checkpoint",
    "load_checkpoint",
    "load_pretrained",
    "model_spec",
    "preprocessing_for",
    "provenance",
    "read_info",
    "registered_image_size",
    "save_checkpoint",
]
