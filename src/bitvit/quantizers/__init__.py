"""Quantizers: one estimator a file, each with its forward and backward formula.

The pyramids' estimators (BinaryViT, BHViT) are imported from their own modules.
"""

from bitvit.quantizers.binary_product import binary_product
from bitvit.quantizers.gsb_attention import AttentionBase, attention_components, fit_attention_scales, gsb_attention
from bitvit.quantizers.gsb_value import fit_value_scales, gsb_value, value_components, value_masks
from bitvit.quantizers.integer_offset import fake_integer_offset, quantize_offset
from bitvit.quantizers.learned_scale import (
    fit_round_scale,
    fit_sign_scale,
    learned_round,
    learned_sign,
    round_bits,
    sign_bits,
)
from bitvit.quantizers.learned_step import fit_step, learned_step, learned_step_codes, step_codes
from bitvit.quantizers.positive import MIN_SCALE, MIN_STEP, Positive, positive
from bitvit.quantizers.precision import at_least_float32
from bitvit.quantizers.round_clip import round_clip
from bitvit.quantizers.sign import binary_sign, sign_ste
from bitvit.quantizers.thresholds import component_factors
from bitvit.quantizers.weight_sign import binary_weight, binary_weight_parts
from bitvit.quantizers.xnor import image_statistics
from bitvit.quantizers.xnor_attention import attention_gamma, xnor_attention

__all__ = [
    "MIN_SCALE",
    "MIN_STEP",
    "AttentionBase",
    "Positive",
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
    "gsb_attention",
    "gsb_value",
    "image_statistics",
    "learned_round",
    "learned_sign",
    "learned_step",
    "learned_step_codes",
    "positive",
    "quantize_offset",
    "round_bits",
    "round_clip",
    "sign_bits",
    "sign_ste",
    "step_codes",
    "value_components",
    "value_masks",
    "xnor_attention",
]
