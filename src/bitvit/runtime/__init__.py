"""Packed networks at work, without PyTorch: load a ``.bitvit`` file, prepare images, predict.

``load`` and ``Predictor`` are what most users need; ``Engine`` and ``run_op`` are the C++ core's Python face.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitvit.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from bitvit.runtime.engine import Engine, available_isas, run_op
    from bitvit.runtime.predictor import Answer, FileInfo, Prediction, Predictor, load
    from bitvit.runtime.preprocessing import load_image

__all__ = ["Answer", "Engine", "FileInfo", "Prediction", "Predictor", "available_isas", "load", "load_image", "run_op"]

# Imported on first use: running the core needs no Pillow.
__getattr__ = lazy_attributes(
    __name__,
    {
        "Answer": "bitvit.runtime.predictor",
        "Engine": "bitvit.runtime.engine",
        "FileInfo": "bitvit.runtime.predictor",
        "Prediction": "bitvit.runtime.predictor",
        "Predictor": "bitvit.runtime.predictor",
        "available_isas": "bitvit.runtime.engine",
        "load": "bitvit.runtime.predictor",
        "load_image": "bitvit.runtime.preprocessing",
        "run_op": "bitvit.runtime.engine",
    },
)
