"""Estimators: one file each, with the formula of its forward and backward pass and the module that layers take.

Four interfaces (`bitvit.quantizers.estimator`): `WeightEstimator`, `ActivationEstimator`, `AttentionEstimator` and
`ValueEstimator`. The formulas are functions in the estimators' own files.
"""

from bitvit.quantizers.banded_mask import BandedAttention
from bitvit.quantizers.binary_product import binary_product
from bitvit.quantizers.bireal import BiRealWeight
from bitvit.quantizers.channelwise_weight import ChannelSignWeight
from bitvit.quantizers.clipped_mask import CalibratedClip, ClippedAttention
from bitvit.quantizers.decomposition import DecomposedAttention
from bitvit.quantizers.estimator import (
    ActivationEstimator,
    AttentionEstimator,
    Estimator,
    Quantized,
    RealActivation,
    RealAttention,
    RealWeight,
    ValueEstimator,
    WeightEstimator,
)
from bitvit.quantizers.gsb_attention import (
    AttentionBase,
    GsbAttention,
    Offset,
    attention_components,
    fit_attention_scales,
    gsb_attention,
)
from bitvit.quantizers.gsb_value import (
    GsbValue,
    ValueThresholds,
    fit_value_scales,
    gsb_value,
    value_components,
    value_masks,
)
from bitvit.quantizers.integer_offset import fake_integer_offset, quantize_offset
from bitvit.quantizers.ir_net import IrNetSign, IrNetWeight
from bitvit.quantizers.learned_scale import (
    LearnedRound,
    LearnedSign,
    ScaledBits,
    fit_round_scale,
    fit_sign_scale,
    learned_round,
    learned_sign,
    round_bits,
    sign_bits,
)
from bitvit.quantizers.learned_step import (
    LearnedStepWeight,
    StepActivation,
    StepWeight,
    fit_step,
    learned_step,
    learned_step_codes,
    step_codes,
)
from bitvit.quantizers.low_bit import LowBitActivation, LowBitWeight
from bitvit.quantizers.packed_forms import InputBits, InputCodes, MaskPlanes, StatisticMasks, ValuePlanes
from bitvit.quantizers.positive import LARGEST_DRIFT, MIN_SCALE, MIN_STEP, Positive, limit_drift
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.rbnn import RbnnSign, RbnnWeight
from bitvit.quantizers.reactnet import ReactNetSign
from bitvit.quantizers.recu import RecuWeight
from bitvit.quantizers.round_clip import round_clip
from bitvit.quantizers.sign import binary_sign, sign_ste
from bitvit.quantizers.threshold_value import gaussian_thresholds, threshold_value
from bitvit.quantizers.thresholds import component_factors
from bitvit.quantizers.triangular_sign import ShiftedSign, SignOfZero, TriangularSign
from bitvit.quantizers.weight_sign import TensorSignWeight, binary_weight, binary_weight_parts
from bitvit.quantizers.xnor import CentredSign, XnorRound, XnorSign, image_statistics
from bitvit.quantizers.xnor_attention import XnorAttention, attention_gamma, xnor_attention
from bitvit.quantizers.xnor_net import XnorNetSign, XnorNetWeight

__all__ = [
    "LARGEST_DRIFT",
    "MIN_SCALE",
    "MIN_STEP",
    "ActivationEstimator",
    "AttentionBase",
    "AttentionEstimator",
    "BandedAttention",
    "BiRealWeight",
    "CalibratedClip",
    "CentredSign",
    "ChannelSignWeight",
    "ClippedAttention",
    "DecomposedAttention",
    "Estimator",
    "GsbAttention",
    "GsbValue",
    "InputBits",
    "InputCodes",
    "IrNetSign",
    "IrNetWeight",
    "LearnedRound",
    "LearnedSign",
    "LearnedStepWeight",
    "LowBitActivation",
    "LowBitWeight",
    "MaskPlanes",
    "Offset",
    "Positive",
    "Quantized",
    "RbnnSign",
    "RbnnWeight",
    "ReactNetSign",
    "RealActivation",
    "RealAttention",
    "RealWeight",
    "RecuWeight",
    "ScaledBits",
    "ShiftedSign",
    "SignOfZero",
    "StatisticMasks",
    "StepActivation",
    "StepWeight",
    "TensorSignWeight",
    "TriangularSign",
    "ValueEstimator",
    "ValuePlanes",
    "ValueThresholds",
    "WeightEstimator",
    "XnorAttention",
    "XnorNetSign",
    "XnorNetWeight",
    "XnorRound",
    "XnorSign",
    "at_least_float32",
    "attention_components",
    "attention_gamma",
    "binary_product",
    "binary_sign",
    "binary_weight",
    "binary_weight_parts",
    "component_factors",
    "fake_integer_offset",
    "fit_attention_scales",
    "fit_round_scale",
    "fit_sign_scale",
    "fit_step",
    "fit_value_scales",
    "gaussian_thresholds",
    "gsb_attention",
    "gsb_value",
    "image_statistics",
    "learned_round",
    "learned_sign",
    "learned_step",
    "learned_step_codes",
    "limit_drift",
    "quantize_offset",
    "round_bits",
    "round_clip",
    "sign_bits",
    "sign_ste",
    "step_codes",
    "threshold_value",
    "value_components",
    "value_masks",
    "xnor_attention",
]
