"""Trainable layers: float32, channels last ``[B, N, C]``, binary through the estimators of `bitvit.quantizers`.

The pyramids' layers (BinaryViT, BHViT) are imported from their own modules.
"""

from bitvit.layers.attention_binarizers import BaseMap, GsbAttentionBinarizer, Offset, XnorAttentionBinarizer
from bitvit.layers.binary_attention import BinaryAttention
from bitvit.layers.binary_linear import BinaryLinear, InputType, Statistics, TypeA
from bitvit.layers.binary_mlp import BinaryMlp
from bitvit.layers.calibration import CalibrationError, calibrate
from bitvit.layers.quantized_ends import QuantizedConv2d, QuantizedLinear
from bitvit.layers.sign_activation import SignActivation
from bitvit.layers.staged import CalibratedLayer, StagedLayer
from bitvit.layers.value_binarizer import GsbValueBinarizer

__all__ = [
    "BaseMap",
    "BinaryAttention",
    "BinaryLinear",
    "BinaryMlp",
    "CalibratedLayer",
    "CalibrationError",
    "GsbAttentionBinarizer",
    "GsbValueBinarizer",
    "InputType",
    "Offset",
    "QuantizedConv2d",
    "QuantizedLinear",
    "SignActivation",
    "StagedLayer",
    "Statistics",
    "TypeA",
    "XnorAttentionBinarizer",
    "calibrate",
]
