"""Trainable layers: float32, channels last ``[B, N, C]``, quantized by the estimators of `bitvit.quantizers`.

A layer says itself how it is packed, what it costs, what its float twin is and whether it is binary
(`bitvit.layers.facts`).
"""

from bitvit.layers.binary_attention import BinaryAttention
from bitvit.layers.binary_mlp import BinaryMlp
from bitvit.layers.calibration import CalibrationError, calibrate
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.facts import has_binary_layers, is_binary, is_comparison_only, is_staged, packed_form
from bitvit.layers.full_precision import to_full_precision
from bitvit.layers.gsb_linear import InputType, Statistics, TypeA, gsb_linear, step_conv, step_linear
from bitvit.layers.quant_conv import QuantConv2d
from bitvit.layers.quant_linear import QuantLinear
from bitvit.layers.react_attention import ReactAttention
from bitvit.layers.react_branches import PoolingBranches, ShiftBranches
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling, PositionEmbedding
from bitvit.layers.react_linear import ReactLinear, ReactMlp, ReactOptions
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.token_norm import TokenBatchNorm, make_norm
from bitvit.layers.window_attention import WindowAttention

__all__ = [
    "BinaryAttention",
    "BinaryDownsampling",
    "BinaryMlp",
    "CalibrationError",
    "ChannelAffine",
    "DilatedMixer",
    "FloatDownsampling",
    "InputType",
    "PoolingBranches",
    "PositionEmbedding",
    "QuantConv2d",
    "QuantLinear",
    "RPReLU",
    "ReactAttention",
    "ReactLinear",
    "ReactMlp",
    "ReactOptions",
    "ShiftBranches",
    "Statistics",
    "TokenBatchNorm",
    "TypeA",
    "WindowAttention",
    "calibrate",
    "gsb_linear",
    "has_binary_layers",
    "is_binary",
    "is_comparison_only",
    "is_staged",
    "make_norm",
    "packed_form",
    "step_conv",
    "step_linear",
    "to_full_precision",
]
